"""IP-CIR: composed image retrieval with an imagined proxy (Imagine and Seek, CVPR 2025)."""

__version__ = "0.1.0"
