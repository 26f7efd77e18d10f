//! Routes parameters to the parts of a composition.

use std::fmt;
use std::sync::Arc;

use cutrickle_error::one_line;
use serde_json::{Map, Value, json};

use crate::{BoxError, Error, FrameProcessor, Params, Result};

/// A part of a composition, as seen by parameters.
///
/// `{"blur": {"radius": 3}}` goes to the part named `blur`, as `{"radius": 3}`. A flat `{"radius": 3}` goes
/// to the one part that declares `radius`, or, if none does, to the one part that accepts any parameter. A
/// name that could be meant for two parts is ambiguous, and one for no part is unknown; both are errors.
///
/// A processor declares its parameters in [`FrameProcessor::params`]. It gets a name from
/// [`Compose::named`](super::Compose::named) or as a case of a [`Switch`](super::Switch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    name: Option<String>,
    /// `None` accepts any parameter.
    takes: Option<Vec<String>>,
    /// The JSON schema of its own parameters. Shared because parts are cloned for each stream.
    schema: Arc<Value>,
    parts: Vec<Part>,
}

impl Part {
    /// An unnamed part that accepts any parameter.
    pub(crate) fn any() -> Self {
        let schema = Arc::new(json!({ "type": "object", "additionalProperties": true }));
        Self { name: None, takes: None, schema, parts: Vec::new() }
    }

    /// An unnamed part that accepts exactly the properties of a JSON schema.
    pub(crate) fn of_schema(schema: Value) -> Self {
        let properties = schema.get("properties").and_then(Value::as_object);
        let takes = properties.map(|all| all.keys().cloned().collect()).unwrap_or_default();
        Self { takes: Some(takes), schema: Arc::new(schema), ..Self::any() }
    }

    /// The part for the parameters of `processor`.
    pub(crate) fn of_processor(processor: &mut impl FrameProcessor) -> Self {
        processor.params().map_or_else(Self::any, |params| Self::of_schema(params.schema()))
    }

    /// A part that accepts one parameter, whose value is one of `names`.
    pub(super) fn choosing<'a>(parameter: &str, names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<_> = names.collect();
        let choice = json!({ "type": "string", "enum": names, "default": names.first() });
        Self::of_schema(json!({ "type": "object", "properties": { parameter: choice } }))
    }

    /// A part that consists of other parts and accepts what they accept.
    pub(super) fn of(parts: Vec<Part>) -> Self {
        let takes = parts.iter().map(|part| part.takes.clone()).collect::<Option<Vec<_>>>();
        let schema = Arc::new(schema(&parts));
        Self { name: None, takes: takes.map(|takes| takes.concat()), schema, parts }
    }

    /// The same part with a name.
    pub(super) fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// Whether `value` holds parameters addressed to this part by name.
    fn is_addressed(&self, name: &str, value: &Value) -> bool {
        value.is_object() && self.name.as_deref() == Some(name)
    }
}

/// The schema of the parameters for these parts: those of unnamed parts flat, the others under their names.
pub(crate) fn schema(parts: &[Part]) -> Value {
    if let [only @ Part { name: None, .. }] = parts {
        return Value::clone(&only.schema);
    }
    let (mut properties, mut any) = (Map::new(), false);
    for part in parts {
        match &part.name {
            Some(name) => {
                properties.insert(name.clone(), Value::clone(&part.schema));
            }
            None => {
                let own = part.schema.get("properties").and_then(Value::as_object);
                properties.extend(own.into_iter().flatten().map(|(name, of)| (name.clone(), of.clone())));
                any |= part.takes.is_none();
            }
        }
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": any })
}

/// Distributes `params` among `children`, each of which is one or more parts.
///
/// # Errors
/// [`Error::is_invalid`] for a parameter that may be meant for several parts; the message names them. Nothing
/// is distributed then.
pub(super) fn route(params: &Params, children: &[Vec<Part>]) -> Result<Vec<Params>, Error> {
    let mut shares = vec![Params::new(); children.len()];
    for (name, value) in params {
        let parts =
            children.iter().enumerate().flat_map(|(n, parts)| parts.iter().map(move |part| (n, part)));
        let found = meant(parts, name, value);
        match found[..] {
            [] => tracing::debug!("no part of the composition takes `{name}`"),
            [(child, _)] => {
                if let Some(share) = shares.get_mut(child) {
                    share.insert(name.clone(), value.clone());
                }
            }
            [(_, part), ..] if part.is_addressed(name, value) => {
                let count = found.len();
                return Err(Error::invalid(format!("{count} parts are called `{name}`: name them apart")));
            }
            _ => return Err(ambiguous(name, &found.iter().map(|(_, part)| *part).collect::<Vec<_>>())),
        }
    }
    Ok(shares)
}

/// Returns the parts that may be meant, each with the index of its child: those with that name, otherwise
/// those that declare the parameter, otherwise those that accept any.
fn meant<'a>(
    parts: impl Iterator<Item = (usize, &'a Part)> + Clone,
    name: &str,
    value: &Value,
) -> Vec<(usize, &'a Part)> {
    let takes =
        |part: &Part| part.takes.as_ref().is_some_and(|takes| takes.iter().any(|taken| taken == name));
    let ways: [&dyn Fn(&Part) -> bool; 3] =
        [&|part| part.is_addressed(name, value), &takes, &|part| part.takes.is_none()];
    let mut found = ways.iter().map(|way| parts.clone().filter(|(_, part)| way(part)).collect::<Vec<_>>());
    found.find(|found| !found.is_empty()).unwrap_or_default()
}

fn ambiguous(name: &str, parts: &[&Part]) -> Error {
    let called: Vec<_> = parts
        .iter()
        .map(|part| {
            part.name.as_ref().map_or_else(|| "a part without a name".into(), |name| format!("`{name}`"))
        })
        .collect();
    let advice = match parts.iter().find_map(|part| part.name.as_ref()) {
        Some(part) => format!("say which, as in {{\"{part}\": {{\"{name}\": …}}}}"),
        None => "give the parts names".into(),
    };
    Error::invalid(format!("`{name}` may be for {}: {advice}", called.join(" or ")))
}

/// Returns the parameters for the part named `name`: those addressed to it, and the flat ones.
pub(super) fn unwrap(params: &Params, name: &str) -> Params {
    let mut own = params.clone();
    if params.get(name).is_some_and(Value::is_object)
        && let Some(Value::Object(addressed)) = own.remove(name)
    {
        own.extend(addressed);
    }
    own
}

/// Adds `newer` to `params`. The newest value of each name wins; values addressed to a part are merged by the
/// names within it.
pub(crate) fn merge(params: &mut Params, newer: Params, parts: &[Part]) {
    for (name, value) in newer {
        let part = parts.iter().find(|part| part.is_addressed(&name, &value));
        match (part, params.get_mut(&name), value) {
            (Some(part), Some(Value::Object(older)), Value::Object(newer)) => {
                merge(older, newer, &part.parts)
            }
            (_, _, value) => {
                params.insert(name, value);
            }
        }
    }
}

/// Adds `newer` to the parameters waiting for `parts`, each under the name of its part, so that the newest
/// value wins whether it was flat or addressed.
pub(crate) fn collect(waiting: &mut Params, newer: Params, parts: &[Part]) {
    merge(waiting, addressed(newer, parts), parts);
}

/// Moves each flat name under the name of the part it is meant for, if that is a single named part.
fn addressed(params: Params, parts: &[Part]) -> Params {
    let (named, flat): (Vec<_>, Vec<_>) =
        params.into_iter().partition(|(name, value)| parts.iter().any(|part| part.is_addressed(name, value)));
    let mut all = Params::new();
    // Within one update, an addressed name takes precedence over a flat one.
    for (name, value) in flat.into_iter().chain(named) {
        let one = match meant(parts.iter().enumerate(), &name, &value)[..] {
            [(_, Part { name: Some(of), parts, .. })] => {
                let inner = match value {
                    Value::Object(inner) if *of == name => inner,
                    value => Params::from_iter([(name, value)]),
                };
                Params::from_iter([(of.clone(), addressed(inner, parts).into())])
            }
            _ => Params::from_iter([(name, value)]),
        };
        merge(&mut all, one, parts);
    }
    all
}

/// Checks that some part accepts each of `params`. A part that accepts any parameter knows every name.
///
/// # Errors
/// [`Error::is_invalid`] for a name that no part accepts; the message lists the known ones.
pub(crate) fn check_names(params: &Params, parts: &[Part]) -> Result<(), Error> {
    let Some(unknown) = unknown(params, parts) else { return Ok(()) };
    let mut known: Vec<_> = parts.iter().flat_map(|part| part.takes.iter().flatten()).collect();
    known.dedup();
    let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    Err(Error::invalid(match known.is_empty() {
        true => format!("`{unknown}` is unknown: the processor takes no parameters"),
        false => format!("`{unknown}` is unknown: the processor takes {}", known.join(", ")),
    }))
}

/// Returns the first name that no part accepts, prefixed with the names of the parts it is addressed to.
fn unknown(params: &Params, parts: &[Part]) -> Option<String> {
    params.iter().find_map(|(name, value)| {
        match (parts.iter().find(|part| part.is_addressed(name, value)), value) {
            (Some(part), Value::Object(inner)) => {
                part.unknown(inner).map(|unknown| format!("{name}.{unknown}"))
            }
            _ => meant(parts.iter().enumerate(), name, value).is_empty().then(|| name.clone()),
        }
    })
}

impl Part {
    fn unknown(&self, params: &Params) -> Option<String> {
        match &self.takes {
            None => None,
            Some(takes) if self.parts.is_empty() => params.keys().find(|name| !takes.contains(name)).cloned(),
            Some(_) => unknown(params, &self.parts),
        }
    }
}

/// The error of a composition that rejected parameters after some parts had applied theirs, which stay in
/// effect.
#[derive(Debug)]
pub(crate) struct Partly {
    /// The parameters in effect, by the names that the composition uses.
    pub(crate) taken: Params,
    refused: BoxError,
}

impl Partly {
    /// Wraps `e` as the composition named `name` reports it.
    pub(super) fn within(name: &str, e: BoxError) -> BoxError {
        match e.downcast::<Self>() {
            Ok(partly) => {
                let Self { taken, refused } = *partly;
                Self { taken: Params::from_iter([(name.to_owned(), taken.into())]), refused }.into()
            }
            Err(e) => e,
        }
    }
}

impl fmt::Display for Partly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = Value::Object(self.taken.clone());
        let refused = one_line(&self.refused);
        write!(f, "{refused}; other parts of the composition have taken theirs: {taken}")
    }
}

impl std::error::Error for Partly {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.refused.source()
    }
}

/// The results of the parts of a composition for their shares of an update.
#[derive(Debug, Default)]
pub(super) struct Answers {
    taken: Params,
    refused: Option<BoxError>,
}

impl Answers {
    /// Adds the answer of the parts that received `share`.
    pub(super) fn add(&mut self, share: Params, answer: Result<()>) {
        let Err(e) = answer else { return self.taken.extend(share) };
        let e = match e.downcast::<Partly>() {
            Ok(partly) => {
                self.taken.extend(partly.taken);
                partly.refused
            }
            Err(e) => e,
        };
        self.refused.get_or_insert(e);
    }

    /// Returns the composition's own answer: the first rejection, if there is one.
    pub(super) fn whole(self) -> Result<()> {
        match self.refused {
            None => Ok(()),
            Some(refused) if self.taken.is_empty() => Err(refused),
            Some(refused) => Err(Partly { taken: self.taken, refused }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part that accepts exactly these parameters.
    fn taking<const N: usize>(names: [&str; N]) -> Part {
        let properties: Map<_, _> = names.map(|name| (name.to_owned(), json!({}))).into_iter().collect();
        Part::of_schema(json!({ "type": "object", "properties": properties }))
    }

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    fn tint(name: &str) -> Part {
        taking(["r", "strength"]).named(name)
    }

    fn shares(children: &[Vec<Part>], value: Value) -> Result<Vec<Value>, String> {
        let shares = route(&params(value), children).map_err(|e| e.to_string())?;
        Ok(shares.into_iter().map(Value::Object).collect())
    }

    #[test]
    fn an_address_beats_all_and_stays_whole_for_the_child_that_contains_its_part() {
        let children = [vec![Part::any(), tint("warm")], vec![tint("cold")]];
        let found =
            shares(&children, json!({"warm": {"r": 1}, "cold": {"r": 2}, "prompt": "a cat"})).unwrap();
        assert_eq!(found, [json!({"warm": {"r": 1}, "prompt": "a cat"}), json!({"cold": {"r": 2}})]);
    }

    #[test]
    fn a_flat_name_goes_to_the_one_part_that_takes_it_before_any_that_takes_all() {
        let children = [vec![Part::any()], vec![tint("warm")], vec![taking([])]];
        let found = shares(&children, json!({"r": 1, "other": 2})).unwrap();
        assert_eq!(found, [json!({"other": 2}), json!({"r": 1}), json!({})]);
        let found = shares(&children[1..], json!({"other": 2})).unwrap();
        assert_eq!(found, [json!({}), json!({})], "what no part takes is left out");
    }

    #[test]
    fn a_name_that_two_parts_may_take_is_an_error_that_names_them() {
        let error = shares(&[vec![tint("warm")], vec![tint("cold")]], json!({"r": 1})).unwrap_err();
        assert_eq!(error, r#"`r` may be for `warm` or `cold`: say which, as in {"warm": {"r": …}}"#);
        let error = shares(&[vec![Part::any()], vec![Part::any()]], json!({"r": 1})).unwrap_err();
        assert!(error.contains("a part without a name or a part without a name: give the parts names"));
        let error = shares(&[vec![tint("warm")], vec![tint("warm")]], json!({"warm": {}})).unwrap_err();
        assert!(error.contains("2 parts are called `warm`"), "{error}");
    }

    #[test]
    fn what_waits_for_a_part_is_merged_name_by_name() {
        let look = Part::of(vec![tint("warm"), tint("cold")]).named("look");
        let mut waiting = params(json!({"look": {"warm": {"r": 1}}, "shape": {"a": 1}}));
        let newer = params(json!({"look": {"warm": {"strength": 2}, "cold": {"r": 3}}, "shape": {"b": 2}}));
        merge(&mut waiting, newer, &[look]);
        let all = json!({"look": {"warm": {"r": 1, "strength": 2}, "cold": {"r": 3}}, "shape": {"b": 2}});
        assert_eq!(Value::Object(waiting), all);
    }

    #[test]
    fn the_newest_value_wins_whether_it_came_flat_or_addressed() {
        let parts = [Part::of(vec![tint("warm"), Part::any().named("cold")]).named("look"), taking(["k"])];
        let mut waiting = Params::new();
        for newer in [
            json!({"r": 1, "k": 1}),
            json!({"look": {"warm": {"r": 2}, "prompt": "a cat"}}),
            json!({"r": 3, "prompt": "a dog"}),
            json!({"r": 4, "look": {"r": 5, "warm": {"r": 6}}}),
        ] {
            collect(&mut waiting, params(newer), &parts);
        }
        let all = json!({"k": 1, "look": {"warm": {"r": 6}, "cold": {"prompt": "a dog"}}});
        assert_eq!(Value::Object(waiting), all);
    }

    #[test]
    fn a_name_that_no_part_takes_is_named_with_those_that_are_known() {
        let parts = [Part::of(vec![tint("warm"), tint("cold")]).named("look"), taking(["k"])];
        for known in [json!({"k": 1}), json!({"r": 1}), json!({"look": {"warm": {"r": 1}, "strength": 1}})] {
            check_names(&params(known), &parts).unwrap();
        }
        for (unknown, named) in [
            (json!({"k": 1, "x": 1}), "`x` is unknown: the processor takes `r`, `strength`"),
            (json!({"look": 1}), "`look` is unknown"),
            (json!({"look": {"k": 1}}), "`look.k` is unknown"),
            (json!({"look": {"warm": {"g": 1}}}), "`look.warm.g` is unknown"),
        ] {
            let error = check_names(&params(unknown), &parts).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let any = [tint("warm"), Part::any().named("rest")];
        check_names(&params(json!({"x": 1, "rest": {"y": 2}})), &any).unwrap();
        assert!(check_names(&params(json!({"warm": {"x": 1}})), &any).is_err(), "`warm` takes no other");
        let error = check_names(&params(json!({"x": 1})), &[taking([])]).unwrap_err().to_string();
        assert_eq!(error, "`x` is unknown: the processor takes no parameters");
    }

    #[test]
    fn what_may_be_for_several_waits_as_it_came() {
        let parts = [tint("warm"), tint("cold")];
        let mut waiting = Params::new();
        collect(&mut waiting, params(json!({"r": 1, "cold": 2})), &parts);
        assert_eq!(Value::Object(waiting), json!({"r": 1, "cold": 2}));
    }

    #[test]
    fn the_schema_of_a_composition_has_named_parts_under_their_names() {
        let look = Part::of(vec![tint("warm"), taking(["k"])]).named("look");
        let all = schema(&[look, taking(["x"])]);
        assert_eq!(all["properties"]["look"]["properties"]["warm"]["properties"]["r"], json!({}));
        assert_eq!(all["properties"]["look"]["properties"]["k"], json!({}));
        assert_eq!((&all["properties"]["x"], &all["additionalProperties"]), (&json!({}), &json!(false)));
        let rest = schema(&[Part::any(), tint("warm")]);
        assert_eq!(rest["additionalProperties"], json!(true));
    }
}
