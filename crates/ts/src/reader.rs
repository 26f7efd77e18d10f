//! Turns bytes into access units on one continuous clock.

use std::time::Instant;

use cutrickle_mpegts::{Demuxer, Event, Timeline};
use cutrickle_pipeline::ends::Input;

use crate::info;

/// Passes the contents of a transport stream to a stream.
#[derive(Debug)]
pub struct Reader {
    demuxer: Demuxer,
    timeline: Timeline,
    /// The start of arrival times; `None` if arrival says nothing about the input's clock.
    live_since: Option<Instant>,
    /// The events of one push. Empty between pushes, and kept for its allocation.
    events: Vec<Event>,
}

impl Reader {
    /// Creates a reader for bytes that are pushed as they are sent: their arrival times tell pauses from
    /// jumps of the clock.
    pub fn live() -> Self {
        Self { live_since: Some(Instant::now()), ..Self::stored() }
    }

    /// Creates a reader for stored bytes.
    pub fn stored() -> Self {
        Self { demuxer: Demuxer::new(), timeline: Timeline::new(), live_since: None, events: Vec::new() }
    }

    /// Passes on everything that `bytes` complete.
    pub async fn push(&mut self, bytes: &[u8], input: &mut Input) {
        input.received(bytes.len());
        self.demuxer.push(bytes, &mut |event| self.events.push(event));
        self.hand_on(input).await;
    }

    /// Passes on everything that is complete because a segment, or the whole stream, ends here.
    pub async fn end_segment(&mut self, input: &mut Input) {
        self.demuxer.end_segment(&mut |event| self.events.push(event));
        self.hand_on(input).await;
    }

    async fn hand_on(&mut self, input: &mut Input) {
        let arrived = self.live_since.map(|since| since.elapsed());
        for event in self.events.drain(..) {
            match event {
                Event::Program(program) => input.tracks(info::tracks(&program), info::info(&program)),
                Event::Unit(mut unit) => {
                    let kind = unit.codec.kind();
                    let stamp = match arrived {
                        Some(arrived) => self.timeline.map_arrived(kind, unit.pts, unit.dts, arrived),
                        None => self.timeline.map(kind, unit.pts, unit.dts),
                    };
                    (unit.pts, unit.dts) = (stamp.pts, stamp.dts);
                    input.unit(unit).await;
                }
            }
        }
    }
}
