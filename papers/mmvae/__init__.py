"""Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models (Shi et al., NeurIPS 2019)."""
