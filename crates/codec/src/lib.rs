//! Video and audio codecs behind four traits, and the choice between their backends.
