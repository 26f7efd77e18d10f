//! The control channel: parameters that come over trickle instead of REST.

use std::sync::Arc;

use cutrickle_error::chain;
use cutrickle_trickle::{SegmentReader, Subscriber};
use serde_json::Value;

use crate::stream::Stream;
use crate::{BoxError, EndReason, Params};

/// Largest message, as for a POST of parameters.
const MOST_MESSAGE: usize = 10 << 20;

/// Runs until the channel ends or the stream is asked to. Without a control channel a stream goes on.
pub(crate) async fn run(stream: Arc<Stream>, mut subscriber: Subscriber) {
    tokio::select! {
        () = stream.stopped() => {}
        () = receive(&stream, &mut subscriber) => {}
    }
}

async fn receive(stream: &Stream, subscriber: &mut Subscriber) {
    loop {
        match subscriber.next().await {
            Ok(Some(mut segment)) => {
                if let Err(e) = message(stream, &mut segment).await {
                    stream.error(format_args!("control: segment {}: {}", segment.seq(), chain(&*e)));
                }
            }
            Ok(None) => return stream.stop(EndReason::InputEnded),
            Err(e) => return stream.fail(EndReason::InputFailed, format_args!("control: {}", chain(&e))),
        }
    }
}

async fn message(stream: &Stream, segment: &mut SegmentReader) -> Result<(), BoxError> {
    let message = segment.collect(MOST_MESSAGE).await?;
    if let Some(params) = parse(&message)? {
        // Nobody waits for the processor's answer: a refusal is an error of the stream.
        drop(stream.update_params(params)?);
    }
    Ok(())
}

/// The parameters in a message; none in one that only keeps the channel alive.
fn parse(message: &[u8]) -> Result<Option<Params>, BoxError> {
    if message.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice(message) {
        Ok(Value::Object(params)) if is_keep_alive(&params) => Ok(None),
        Ok(Value::Object(params)) => Ok(Some(params)),
        Ok(_) => Err("not a JSON object".into()),
        Err(e) => Err(format!("not JSON: {}", chain(&e)).into()),
    }
}

fn is_keep_alive(params: &Params) -> bool {
    params.len() == 1 && params.get("keep").is_some_and(|keep| keep == "alive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_are_no_parameters() {
        for message in ["{\"keep\":\"alive\"}", "", " \n"] {
            assert_eq!(parse(message.as_bytes()).unwrap(), None, "{message:?}");
        }
        let params = parse(br#"{"keep":"alive","strength":1}"#).unwrap().unwrap();
        assert_eq!(params.len(), 2, "a parameter may have that name");
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for message in ["[1]", "\"text\"", "{\"a\":", "\u{0}"] {
            assert!(parse(message.as_bytes()).is_err(), "{message:?}");
        }
    }
}
