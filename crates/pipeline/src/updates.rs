//! A stream's parameters: those in effect, and updates waiting for its processor, which decides on them. What
//! the parameters mean is left to others.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutrickle_error::chain;
use tokio::sync::{Notify, oneshot};

use crate::compose::{Part, Partly, check_names, collect, merge};
use crate::stream::Stream;
use crate::{Error, Params, Result, StreamParams};

/// How many updates may wait for the processor. Further ones are merged into the newest of them.
const MAX_WAITING: usize = 8;

/// The parameters of a stream.
#[derive(Debug)]
pub(crate) struct Parameters {
    /// The parts to which parameters are routed.
    parts: Vec<Part>,
    state: Mutex<State>,
    submitted: Notify,
}

#[derive(Debug)]
struct State {
    settings: StreamParams,
    in_force: Params,
    waiting: Vec<Update>,
}

/// An update of parameters: either all of them take effect or none.
#[derive(Debug)]
struct Update {
    settings: StreamParams,
    params: Params,
    /// The callers waiting for the result.
    askers: Vec<oneshot::Sender<Result<(), Error>>>,
}

/// The result of an update, for its caller.
pub(crate) type Answer = oneshot::Receiver<Result<(), Error>>;

/// What happened to an update.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in effect.
    Taken(Params),
    /// The processor rejected it, with this one-line reason, and no caller waits for the result.
    Refused(String),
}

impl Parameters {
    /// The parameters that a stream starts with.
    ///
    /// # Errors
    /// [`Error::is_invalid`] for a name that no part accepts.
    pub(crate) fn new(settings: StreamParams, params: Params, parts: Vec<Part>) -> Result<Self, Error> {
        check_names(&params, &parts)?;
        let state = State { settings, in_force: params, waiting: Vec::new() };
        Ok(Self { parts, state: Mutex::new(state), submitted: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The framework's own parameters.
    pub(crate) fn settings(&self) -> StreamParams {
        self.state().settings
    }

    /// The processor's parameters, as far as it has accepted them.
    pub(crate) fn in_force(&self) -> Params {
        self.state().in_force.clone()
    }

    /// Submits an update. If it has only the framework's own parameters, it takes effect at once; otherwise
    /// it waits for the processor, which accepts or rejects the update as a whole. The receiver gets the
    /// result.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if a value of the framework's own has the wrong type, or for a name that no part
    /// accepts. Nothing is changed then.
    pub(crate) fn submit(&self, mut params: Params) -> Result<(Answer, Option<Outcome>), Error> {
        let settings = StreamParams::take_from(&mut params)?;
        check_names(&params, &self.parts)?;
        let (asker, answer) = oneshot::channel();
        let mut state = self.state();
        if params.is_empty() && state.waiting.is_empty() {
            state.settings = settings.or(state.settings);
            // The receiver still exists here.
            let _ = asker.send(Ok(()));
            return Ok((answer, Some(Outcome::Taken(params))));
        }
        let update = Update { settings, params, askers: vec![asker] };
        if state.waiting.len() < MAX_WAITING {
            state.waiting.push(update);
        } else if let Some(newest) = state.waiting.last_mut() {
            newest.take_in(update, &self.parts);
        }
        drop(state);
        self.submitted.notify_one();
        Ok((answer, None))
    }

    /// Waits until parameters arrive.
    pub(crate) async fn submitted(&self) {
        self.submitted.notified().await;
    }

    /// Passes waiting updates to the processor, using `give`. Several updates are passed as one, with the
    /// newest value of each name; if that is rejected, each is passed on its own, so that a wrong one costs
    /// only itself.
    pub(crate) fn hand_over(&self, mut give: impl FnMut(&Params) -> Result<()>) -> Vec<Outcome> {
        let updates = std::mem::take(&mut self.state().waiting);
        let mut whole = Params::new();
        for update in &updates {
            collect(&mut whole, update.params.clone(), &self.parts);
        }
        let together = match updates.len() {
            0 => return Vec::new(),
            1 => None,
            _ => Some(if whole.is_empty() { Ok(()) } else { give(&whole) }),
        };
        let given_as_one = matches!(together, Some(Ok(())));
        let answer = |update: Update| {
            let answer = match given_as_one || update.params.is_empty() {
                true => Ok(()),
                false => give(&update.params),
            };
            self.answered(update, answer)
        };
        updates.into_iter().filter_map(answer).collect()
    }

    /// Puts into effect what the processor accepted of an update, and tells the callers.
    fn answered(&self, update: Update, answer: Result<()>) -> Option<Outcome> {
        let Update { settings, params, askers } = update;
        let Err(refused) = answer else {
            let mut state = self.state();
            state.settings = settings.or(state.settings);
            merge(&mut state.in_force, params.clone(), &self.parts);
            drop(state);
            for asker in askers {
                // Callers that no longer wait can read the status.
                let _ = asker.send(Ok(()));
            }
            return Some(Outcome::Taken(params));
        };
        let reason = chain(&*refused).to_string();
        if let Ok(Partly { taken, .. }) = refused.downcast::<Partly>().map(|partly| *partly) {
            merge(&mut self.state().in_force, taken, &self.parts);
        }
        let mut heard = false;
        for asker in askers {
            heard |= asker.send(Err(Error::invalid(reason.clone()))).is_ok();
        }
        (!heard).then_some(Outcome::Refused(reason))
    }
}

impl Update {
    /// Merges a newer update into this one, so that both share the result.
    fn take_in(&mut self, newer: Self, parts: &[Part]) {
        self.settings = newer.settings.or(self.settings);
        collect(&mut self.params, newer.params, parts);
        self.askers.retain(|asker| !asker.is_closed());
        self.askers.extend(newer.askers);
    }
}

/// The result of an update, from [`Session::update_params`](crate::Session::update_params). If it is dropped,
/// a rejection counts as an error of the stream and appears in its status as `last_error`.
pub struct Verdict {
    answer: Answer,
    stream: Arc<Stream>,
}

impl Verdict {
    pub(crate) fn new(answer: Answer, stream: Arc<Stream>) -> Self {
        Self { answer, stream }
    }

    /// Waits until the processor has answered, which happens between two frames, so at most as long as it
    /// works on one.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if the processor rejected the update, with the reason. Nothing is changed then,
    /// except in parts of a composition that had already accepted theirs; the message names what is in effect
    /// nonetheless. Also fails if the stream ended before.
    pub fn known(self) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let Self { answer, stream } = self;
        async move {
            let ended = || Error::failed("the stream ended before its processor was given the parameters");
            tokio::select! {
                biased;
                answer = answer => answer.unwrap_or_else(|_| Err(ended())),
                () = stream.ended() => Err(ended()),
            }
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verdict").field("stream", &self.stream.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    fn parameters(parts: Vec<Part>) -> Parameters {
        Parameters::new(StreamParams::default(), Params::new(), parts).unwrap()
    }

    /// Accepts an `x` below 5.
    fn small(params: &Params) -> Result<()> {
        match params.get("x").and_then(Value::as_i64) {
            Some(x) if x >= 5 => Err(format!("`x` is {x}").into()),
            _ => Ok(()),
        }
    }

    #[test]
    fn nothing_of_a_refused_update_is_in_force() {
        let parameters = parameters(vec![Part::any()]);
        let (mut answer, outcome) = parameters.submit(params(json!({"x": 7, "max_framerate": 9}))).unwrap();
        assert!(outcome.is_none() && parameters.in_force().is_empty(), "not before the processor says so");
        assert!(parameters.hand_over(small).is_empty(), "who asked has heard it");
        assert!(answer.try_recv().unwrap().unwrap_err().is_invalid());
        assert!(parameters.in_force().is_empty() && parameters.settings().max_framerate.is_none());
        let (answer, _) = parameters.submit(params(json!({"x": 7}))).unwrap();
        drop(answer);
        assert!(matches!(&parameters.hand_over(small)[..], [Outcome::Refused(why)] if why == "`x` is 7"));
    }

    #[test]
    fn one_wrong_update_among_several_costs_only_itself() {
        let parameters = parameters(vec![Part::any()]);
        let mut answers: Vec<_> = [json!({"x": 1, "y": 1}), json!({"x": 7}), json!({"max_framerate": 20})]
            .into_iter()
            .map(|update| parameters.submit(params(update)).unwrap().0)
            .collect();
        assert_eq!(parameters.settings().max_framerate, None, "the order is kept");
        parameters.hand_over(small);
        let answers: Vec<_> = answers.iter_mut().map(|answer| answer.try_recv().unwrap().is_ok()).collect();
        assert_eq!(answers, [true, false, true]);
        assert_eq!(Value::Object(parameters.in_force()), json!({"x": 1, "y": 1}));
        assert_eq!(parameters.settings().max_framerate, Some(20));
    }

    #[test]
    fn updates_that_wait_are_given_as_one_and_are_bounded() {
        let parameters = parameters(vec![Part::any()]);
        let answers: Vec<_> = (0..100)
            .map(|n| parameters.submit(params(json!({"n": n, format!("n{}", n % 3): n}))).unwrap().0)
            .collect();
        assert_eq!(parameters.state().waiting.len(), MAX_WAITING);
        let mut given = Vec::new();
        parameters.hand_over(|params| {
            given.push(Value::from(params.clone()));
            Ok(())
        });
        assert_eq!(given, [json!({"n": 99, "n0": 99, "n1": 97, "n2": 98})]);
        assert!(answers.into_iter().all(|mut answer| answer.try_recv().unwrap().is_ok()));
        assert_eq!(parameters.in_force()["n"], 99);
    }

    #[test]
    fn a_name_that_nobody_takes_is_refused_before_it_waits() {
        let strength = json!({"type": "object", "properties": {"strength": {"type": "number"}}});
        let parameters = parameters(vec![Part::of_schema(strength)]);
        let error = parameters.submit(params(json!({"strenght": 1}))).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains("`strenght`"), "{error}");
        assert!(error.to_string().contains("`strength`"), "it says what is known: {error}");
        assert!(parameters.state().waiting.is_empty());
    }
}
