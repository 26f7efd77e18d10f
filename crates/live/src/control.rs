//! The control channel: parameter updates over trickle instead of REST.

use cutrickle_error::{BoxError, chain};
use cutrickle_pipeline::ends::{Control, ControlSource};
use cutrickle_pipeline::{Params, Result};
use cutrickle_trickle::{Error, SegmentReader, Start, Subscriber};
use serde_json::Value;

use crate::TrickleOptions;

/// The largest message in bytes, the same as for a POST of parameters.
const MAX_MESSAGE: usize = 10 << 20;

/// A channel whose segments are JSON objects with new parameters for a stream.
#[derive(Debug)]
pub struct TrickleControl(Subscriber);

impl TrickleControl {
    /// Subscribes to the channel at `url`, starting with the segment that is being written.
    ///
    /// # Errors
    /// Fails for a malformed URL.
    pub fn new(url: &str, options: &TrickleOptions) -> Result<Self, Error> {
        Subscriber::new(url, Start::Current, options.input()).map(Self)
    }
}

impl ControlSource for TrickleControl {
    async fn run(mut self, control: Control) -> Result<()> {
        while let Some(mut segment) = self.0.next().await? {
            if let Err(e) = message(&control, &mut segment).await {
                control.error(format_args!("segment {}: {}", segment.seq(), chain(&*e)));
            }
        }
        Ok(())
    }
}

async fn message(control: &Control, segment: &mut SegmentReader) -> Result<()> {
    let message = segment.collect(MAX_MESSAGE).await?;
    if let Some(params) = parse(&message)? {
        control.update(params)?;
    }
    Ok(())
}

/// Returns the parameters in a message, or `None` for a keep-alive.
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
