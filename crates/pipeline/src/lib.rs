//! Live video through a frame processor: sessions, pacing, dropping, metrics.
