//! Tests of the sequence logic of a channel, without sockets and clocks.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::super::budget::Budget;
use super::super::segment::Reader;
use super::*;

fn channel() -> (Channel, Instant) {
    let now = Instant::now();
    let limits = Limits { window: 5, segment_bytes: 1 << 20, account: Budget::new(u64::MAX).account() };
    (Channel::new("t".into(), limits, now), now)
}

fn open(channel: &mut Channel, at: Option<u64>) -> Arc<Segment> {
    match channel.write(at, false, None) {
        Write::Open(segment) => segment,
        Write::Ended { seq } => panic!("{seq} has ended"),
        Write::TooFarAhead => panic!("too far ahead"),
    }
}

fn put(channel: &mut Channel, seq: u64) -> Arc<Segment> {
    let segment = open(channel, Some(seq));
    channel.begin(seq, Instant::now(), None);
    segment.append(Bytes::from_static(b"x"));
    segment
}

fn put_whole(channel: &mut Channel, seq: u64) {
    put(channel, seq);
    assert!(channel.finish(seq));
}

fn read(channel: &mut Channel, index: Index) -> Result<Arc<Segment>, u64> {
    match channel.read(index) {
        Read::Segment(segment) => Ok(segment),
        Read::Missing { seq } => Err(seq),
    }
}

fn seq(channel: &mut Channel, index: Index) -> Result<u64, u64> {
    read(channel, index).map(|segment| segment.seq())
}

fn is_waiting(reader: &mut Reader) -> bool {
    reader.poll_next(&mut Context::from_waker(Waker::noop())) == Poll::Pending
}

#[test]
fn numbers_are_parsed_and_what_is_below_minus_two_is_malformed() {
    assert_eq!(Index::parse("-1"), Some(Index::Next));
    assert_eq!(Index::parse("-2"), Some(Index::Current));
    assert_eq!(Index::parse("17"), Some(Index::At(17)));
    for text in ["-3", "", "x", "1x", "1.0", "99999999999999999999", "-9223372036854775808", " 1"] {
        assert_eq!(Index::parse(text), None, "{text:?}");
    }
}

#[test]
fn the_head_moves_with_the_first_byte() {
    let (mut c, now) = channel();
    let segment = open(&mut c, Some(0));
    assert_eq!(c.next_write(), 0);
    c.begin(segment.seq(), now, None);
    assert_eq!(c.next_write(), 1);
    c.finish(0);
    assert_eq!(c.next_write(), 1);
}

#[test]
fn next_and_current_are_the_segments_they_say() {
    let (mut c, _) = channel();
    assert_eq!(seq(&mut c, Index::Current), Ok(0));
    assert_eq!(seq(&mut c, Index::Next), Ok(0));
    put(&mut c, 0);
    assert_eq!(seq(&mut c, Index::Current), Ok(0));
    assert_eq!(seq(&mut c, Index::Next), Ok(1));
    put_whole(&mut c, 1);
    assert_eq!(seq(&mut c, Index::Current), Ok(1));
    assert_eq!(open(&mut c, None).seq(), 2);
}

#[test]
fn a_get_may_run_one_segment_ahead_and_no_further() {
    let (mut c, _) = channel();
    put(&mut c, 0);
    let ahead = read(&mut c, Index::At(1)).unwrap();
    assert!(ahead.is_empty());
    assert_eq!(seq(&mut c, Index::At(2)), Err(2));
    let written = put(&mut c, 1);
    assert!(Arc::ptr_eq(&ahead, &written));
    assert_eq!(seq(&mut c, Index::At(2)), Ok(2));
}

#[test]
fn a_get_finds_a_preconnected_post_wherever_it_is() {
    let (mut c, _) = channel();
    let preconnected = open(&mut c, Some(101));
    assert!(Arc::ptr_eq(&preconnected, &read(&mut c, Index::At(101)).unwrap()));
    assert_eq!(seq(&mut c, Index::At(100)), Err(100));
}

#[test]
fn the_window_slides_and_ends_what_it_leaves_behind() {
    let (mut c, _) = channel();
    let unfinished = put(&mut c, 0);
    for seq in 1..5 {
        put_whole(&mut c, seq);
    }
    assert_eq!(unfinished.state(), State::Open);
    assert_eq!(seq(&mut c, Index::At(0)), Ok(0));
    put(&mut c, 5);
    assert_eq!(unfinished.state(), State::Closed);
    assert_eq!(seq(&mut c, Index::At(0)), Err(0));
    assert_eq!(seq(&mut c, Index::At(1)), Ok(1));
    assert!(matches!(c.write(Some(0), false, None), Write::Ended { seq: 0 }));
}

#[test]
fn gaps_are_accepted_and_end_those_who_waited_before_them() {
    let (mut c, _) = channel();
    let waiting = read(&mut c, Index::Current).unwrap();
    put(&mut c, 101);
    assert_eq!(c.next_write(), 102);
    assert_eq!(waiting.state(), State::Closed);
    assert_eq!(seq(&mut c, Index::At(102)), Ok(102));
}

#[test]
fn a_rewrite_of_a_closed_segment_does_not_move_the_head_back() {
    let (mut c, now) = channel();
    for seq in 0..4 {
        put_whole(&mut c, seq);
    }
    assert!(matches!(c.write(Some(2), false, None), Write::Ended { seq: 2 }));
    c.begin(2, now, None);
    c.finish(2);
    assert_eq!(c.next_write(), 4);
}

#[test]
fn a_second_post_continues_an_open_segment() {
    let (mut c, _) = channel();
    let first = put(&mut c, 0);
    c.abandon(0);
    assert!(Arc::ptr_eq(&first, &put(&mut c, 0)));
    assert_eq!(c.next_write(), 1);
}

#[test]
fn an_empty_segment_moves_the_head_so_that_nobody_finds_it_again() {
    let (mut c, _) = channel();
    let waiting = read(&mut c, Index::Next).unwrap();
    open(&mut c, Some(0));
    c.finish(0);
    assert_eq!((waiting.state(), c.next_write()), (State::Closed, 1));
}

#[test]
fn a_reset_closes_what_is_before_and_leaves_what_is_after() {
    let (mut c, _) = channel();
    let dead = put(&mut c, 3);
    let mut reader = dead.reader();
    assert!(!is_waiting(&mut reader) && is_waiting(&mut reader));
    let waiting = read(&mut c, Index::Next).unwrap();
    let later = open(&mut c, Some(7));
    let Write::Open(restarted) = c.write(Some(6), true, None) else { panic!("ended") };
    assert_eq!((dead.state(), waiting.state()), (State::Closed, State::Closed));
    assert!(!is_waiting(&mut reader));
    assert_eq!((restarted.state(), later.state()), (State::Open, State::Open));
    assert!(Arc::ptr_eq(&restarted, &read(&mut c, Index::Next).unwrap()));
}

#[test]
fn a_reset_at_the_next_number_keeps_its_readers_waiting() {
    let (mut c, _) = channel();
    put_whole(&mut c, 0);
    let waiting = read(&mut c, Index::Next).unwrap();
    assert!(matches!(c.write(None, true, None), Write::Open(_)));
    assert_eq!(waiting.state(), State::Open);
    assert_eq!(seq(&mut c, Index::At(0)), Ok(0));
}

#[test]
fn an_abandoned_preconnect_leaves_room_and_keeps_those_who_wait_for_the_next_segment() {
    let (mut c, _) = channel();
    let next = open(&mut c, Some(0));
    c.abandon(0);
    assert_eq!(next.state(), State::Open);
    for seq in 1..100 {
        open(&mut c, Some(seq));
        c.abandon(seq);
    }
    assert_eq!(c.segments.len(), 1);
}

#[test]
fn segments_open_ahead_are_bounded() {
    let (mut c, _) = channel();
    let opened =
        (1..100).take_while(|&seq| matches!(c.write(Some(seq), false, None), Write::Open(_))).count();
    assert_eq!(opened, MAX_AHEAD);
    assert!(matches!(c.write(None, false, None), Write::Open(_)));
}

#[test]
fn termination_ends_everyone_and_refuses_new_ones() {
    let (mut c, _) = channel();
    let written = put(&mut c, 0);
    let waiting = read(&mut c, Index::Next).unwrap();
    c.terminate();
    assert_eq!((written.state(), waiting.state()), (State::Terminated, State::Terminated));
    assert!(matches!(c.write(None, false, None), Write::Ended { .. }));
    assert!(read(&mut c, Index::Next).is_err());
}

#[test]
fn the_greatest_numbers_do_no_harm() {
    let (mut c, _) = channel();
    let last = i64::MAX as u64;
    put_whole(&mut c, last);
    assert_eq!(seq(&mut c, Index::Next), Ok(last + 1));
    assert!(!c.finish(u64::MAX));
}

/// Opens a POST of a publisher that identifies itself.
fn post(channel: &mut Channel, seq: u64, by: u64) -> Option<Arc<Segment>> {
    let Write::Open(segment) = channel.write(Some(seq), false, Some(by)) else { return None };
    channel.enter(seq, Some(by));
    Some(segment)
}

#[test]
fn a_segment_is_of_the_publisher_that_opened_it_and_of_anybody_once_it_left() {
    let (mut c, _) = channel();
    let first = post(&mut c, 0, 1).unwrap();
    assert!(post(&mut c, 0, 2).is_none());
    assert!(
        post(&mut c, 0, 1).is_some(),
        "it may come back before its former connection is known to be gone"
    );
    assert!(matches!(c.write(Some(0), false, None), Write::Open(_)), "who says nothing is not told apart");
    c.leave(0, Some(1));
    c.leave(0, Some(1));
    assert!(Arc::ptr_eq(&first, &post(&mut c, 0, 2).unwrap()));
}

#[test]
fn of_two_publishers_the_one_that_is_idle_holds_nobody_up() {
    let (mut c, now) = channel();
    let idle = post(&mut c, 0, 2).unwrap();
    let own = post(&mut c, 1, 1).unwrap();
    assert!(post(&mut c, 2, 1).is_some());
    c.begin(2, now, Some(1));
    assert_eq!((idle.state(), own.state()), (State::Closed, State::Open), "its own may only be late");
}

#[test]
fn a_number_that_another_publisher_has_gone_past_is_not_given_out() {
    let (mut c, now) = channel();
    assert!(post(&mut c, 3, 1).is_some());
    c.begin(3, now, Some(1));
    assert!(post(&mut c, 2, 2).is_none());
    assert!(post(&mut c, 2, 1).is_some(), "its own may come in any order");
}

#[test]
fn a_channel_ends_with_the_last_of_its_publishers() {
    let (mut c, now) = channel();
    let first = post(&mut c, 0, 1).unwrap();
    let second = post(&mut c, 1, 2).unwrap();
    for (seq, by, segment) in [(0, 1, &first), (1, 2, &second)] {
        c.begin(seq, now, Some(by));
        segment.append(Bytes::from_static(b"x"));
    }
    let ahead = post(&mut c, 3, 2).unwrap();
    assert!(c.goes_on_without(2));
    assert_eq!((first.state(), second.state(), ahead.state()), (State::Open, State::Closed, State::Closed));
    for seq in [1, 3] {
        c.leave(seq, Some(2));
    }
    assert!(!c.goes_on_without(1));
}
