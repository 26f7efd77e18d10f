//! MPEG transport streams for live video: push demuxer, segmenting muxer, the 90 kHz clock.
