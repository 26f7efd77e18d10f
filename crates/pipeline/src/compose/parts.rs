//! How parameters find the part of a composition that they are for.

use crate::{Error, Params};

/// A part of a composition as parameters see it.
///
/// `{"blur": {"radius": 3}}` goes to the part called `blur`, as `{"radius": 3}`. A flat `{"radius": 3}` goes to the one
/// part that takes `radius`; where none says so, to the one part that takes any. Where two parts could be meant the name
/// is ambiguous, which is an error, and where none could it is left out.
///
/// A processor says what it takes; its name it is given by [`Compose::named`](super::Compose::named), or as a case of a
/// [`Switch`](super::Switch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    name: Option<String>,
    /// `None`: any.
    takes: Option<Vec<String>>,
    parts: Vec<Part>,
}

impl Part {
    /// A part without a name that takes any parameter.
    pub fn any() -> Self {
        Self { name: None, takes: None, parts: Vec::new() }
    }

    /// A part without a name that takes these parameters and no others.
    pub fn taking<const N: usize>(parameters: [&str; N]) -> Self {
        Self { takes: Some(parameters.map(Into::into).into()), ..Self::any() }
    }

    /// A part that consists of others: it takes what they take.
    pub(super) fn of(parts: Vec<Part>) -> Self {
        let takes = parts.iter().map(|part| part.takes.clone()).collect::<Option<Vec<_>>>();
        Self { name: None, takes: takes.map(|takes| takes.concat()), parts }
    }

    /// The same part under a name.
    pub(super) fn named(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

/// Shares `params` out among `children`, each of which is one or more parts.
///
/// # Errors
/// [`Error::is_invalid`]: a parameter that may be for several parts; the text names them. Nothing is shared out then.
pub(super) fn route(params: &Params, children: &[Vec<Part>]) -> Result<Vec<Params>, Error> {
    let mut shares = vec![Params::new(); children.len()];
    for (name, value) in params {
        let find = |wanted: &dyn Fn(&Part) -> bool| {
            let parts =
                children.iter().enumerate().flat_map(|(n, parts)| parts.iter().map(move |part| (n, part)));
            parts.filter(|(_, part)| wanted(part)).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        if value.is_object() {
            found = find(&|part| part.is_called(name));
            if found.len() > 1 {
                return Err(Error::invalid(format!(
                    "{} parts are called `{name}`: name them apart",
                    found.len()
                )));
            }
        }
        if found.is_empty() {
            found = find(&|part| part.takes.as_ref().is_some_and(|takes| takes.contains(name)));
        }
        if found.is_empty() {
            found = find(&|part| part.takes.is_none());
        }
        match found[..] {
            [] => tracing::debug!("no part of the composition takes `{name}`"),
            [(child, _)] => {
                if let Some(share) = shares.get_mut(child) {
                    share.insert(name.clone(), value.clone());
                }
            }
            _ => return Err(ambiguous(name, &found.iter().map(|(_, part)| *part).collect::<Vec<_>>())),
        }
    }
    Ok(shares)
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

/// The parameters of the part called `name`: those addressed to it, and the flat ones.
pub(super) fn unwrap(params: &Params, name: &str) -> Params {
    let mut own = params.clone();
    if params.get(name).is_some_and(serde_json::Value::is_object)
        && let Some(serde_json::Value::Object(addressed)) = own.remove(name)
    {
        own.extend(addressed);
    }
    own
}

/// Adds `newer` to `params`, the newest value of each name winning; what is addressed to a part counts by the names
/// within it.
pub(crate) fn merge(params: &mut Params, newer: Params, parts: &[Part]) {
    for (name, value) in newer {
        let part = parts.iter().find(|part| part.is_called(&name));
        match (part, params.get_mut(&name), value) {
            (Some(part), Some(serde_json::Value::Object(older)), serde_json::Value::Object(newer)) => {
                merge(older, newer, &part.parts);
            }
            (_, _, value) => {
                params.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn params(value: Value) -> Params {
        value.as_object().cloned().unwrap()
    }

    fn tint(name: &str) -> Part {
        Part::taking(["r", "strength"]).named(name)
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
        let children = [vec![Part::any()], vec![tint("warm")], vec![Part::taking([])]];
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
}
