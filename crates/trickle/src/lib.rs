//! The trickle protocol: subscriber, publisher and server.
