"""MHVAE: a Human-Inspired Deep Hierarchical Generative Model (Vasco et al., 2020)."""
