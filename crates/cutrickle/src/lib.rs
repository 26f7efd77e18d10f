//! Real-time AI video on GPUs: one frame processor between two live streams.
