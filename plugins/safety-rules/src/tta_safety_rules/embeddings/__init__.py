"""The sentence model under the deep head: built from a pinned wheel, run by onnxruntime; the extra ``embeddings``."""
