//! Video and audio frames: pixel layouts, colour, lazy conversion to candle tensors.
