"""A workflow that is asked to stop asks its jobs. Snakemake by itself waits until they have ended, for hours."""

import signal
import threading
import time
from contextlib import suppress
from types import FrameType

import psutil

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_jobs_too() -> None:
    """Let a signal that the workflow gets alone do what Ctrl-C does, which reaches all processes of the terminal.

    So do `kill`, systemd and `docker stop`. Trainings then save their state and end, and the workflow with them. To be
    called when Snakemake has installed its own handler and before it starts a job. What is ignored stays so (nohup).
    """
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if not stopping.is_set():  # a second one must not disturb the first
            stopping.set()
            threading.Thread(target=_tell_jobs, args=(number,), daemon=True).start()
            raise KeyboardInterrupt

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def _tell_jobs(number: int) -> None:
    """Send a signal once to every job, also to one that is just being started, until this process ends.

    Only to processes without children: the shell around a job would leave it behind, and be taken for its end.
    """
    told: set[psutil.Process] = set()
    while True:
        with suppress(psutil.NoSuchProcess):  # one has just ended: the others have their turn in the next round
            below = psutil.Process().children(recursive=True)
            parents = {each.ppid() for each in below}
            for process in below:
                if process not in told and process.pid not in parents:
                    process.send_signal(number)
                    told.add(process)
        time.sleep(0.2)
