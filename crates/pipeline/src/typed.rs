//! Parameters as a struct, with a schema for callers and values checked against it before a processor sees
//! them.

use cutrickle_error::BoxError;
use jsonschema::Validator;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Params, Result};

/// A struct of parameters, as returned by [`FrameProcessor::params`](crate::FrameProcessor::params).
///
/// Implemented for everything that implements serde's `Serialize` and `Deserialize` and schemars'
/// `JsonSchema`. Ranges, defaults and descriptions are given with schemars' attributes and doc comments.
///
/// ```
/// use cutrickle_pipeline::{Params, TypedParams};
///
/// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
/// struct Blur {
///     /// Of the blur, in pixels.
///     #[schemars(range(min = 0.0, max = 32.0))]
///     radius: f64,
/// }
///
/// let mut blur = Blur { radius: 2.0 };
/// let params = |json| serde_json::from_str::<Params>(json).unwrap();
/// blur.update(&params(r#"{"radius": 4}"#)).unwrap();
/// assert_eq!(blur.radius, 4.0);
/// let refused = blur.update(&params(r#"{"radius": 64}"#)).unwrap_err();
/// assert_eq!(refused.to_string(), "`radius` is 64: a number from 0 to 32 is wanted");
/// assert_eq!(blur.radius, 4.0);
/// ```
pub trait TypedParams: Send {
    /// The JSON schema of the struct.
    fn schema(&self) -> Value;

    /// The current values.
    fn values(&self) -> Params;

    /// Stores the values of `params` in the struct: either all of them or none. Fields not among them keep
    /// their values.
    ///
    /// # Errors
    /// Fails for a value that does not fit the schema; the message names it and says what is expected.
    fn update(&mut self, params: &Params) -> Result<()>;
}

impl<T: Serialize + DeserializeOwned + JsonSchema + Send> TypedParams for T {
    fn schema(&self) -> Value {
        // Inlined, so that what is allowed for a property is found with it.
        let settings = SchemaSettings::default().with(|settings| settings.inline_subschemas = true);
        let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
        if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            // The default is the value that a stream starts with, whatever the struct's own default may be.
            for (name, value) in self.values() {
                if let Some(Value::Object(property)) = properties.get_mut(&name) {
                    property.insert("default".into(), value);
                }
            }
        }
        // No field is required, because fields that are left out keep their values.
        if let Value::Object(schema) = &mut schema {
            schema.remove("required");
        }
        schema
    }

    fn values(&self) -> Params {
        match serde_json::to_value(self) {
            Ok(Value::Object(values)) => values,
            _ => Map::new(),
        }
    }

    fn update(&mut self, params: &Params) -> Result<()> {
        if params.is_empty() {
            return Ok(());
        }
        let schema = self.schema();
        let mut values = self.values();
        let known = params.iter().filter(|(name, _)| property(&schema, name).is_some());
        values.extend(known.map(|(name, value)| (name.clone(), value.clone())));
        let values = Value::Object(values);
        let validator = jsonschema::validator_for(&schema)?;
        check(&validator, &schema, &values)?;
        *self = serde_json::from_value(values)?;
        Ok(())
    }
}

/// Checks `values` against a schema.
fn check(validator: &Validator, schema: &Value, values: &Value) -> Result<()> {
    let Err(error) = validator.validate(values) else { return Ok(()) };
    let path = error.instance_path().to_string();
    let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match (values.get(name), property(schema, name)) {
        (Some(value), Some(property)) => Err(refusal(name, value, property, &error.to_string())),
        _ => Err(error.to_string().into()),
    }
}

fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Map<String, Value>> {
    schema.get("properties")?.get(name)?.as_object()
}

/// The error for a value, in terms of its schema, or else the validator's message `otherwise`.
fn refusal(name: &str, value: &Value, property: &Map<String, Value>, otherwise: &str) -> BoxError {
    let number = |key| property.get(key).and_then(Value::as_f64);
    let is = |kind: &str| property.get("type").is_some_and(|of| of == kind);
    let choices = choices(property);
    let wanted = match (number("minimum"), number("maximum"), &choices[..]) {
        (Some(min), Some(max), _) if is("integer") => format!("a whole number from {min} to {max}"),
        (Some(min), Some(max), _) => format!("a number from {min} to {max}"),
        (Some(min), None, _) if is("integer") => format!("a whole number from {min}"),
        _ if is("boolean") => "true or false".to_owned(),
        (_, _, [_, ..]) => choices.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        _ => return format!("`{name}`: {otherwise}").into(),
    };
    format!("`{name}` is {value}: {wanted} is wanted").into()
}

/// The words that a property may be, as an enum without data is described: those without a description in one list, the
/// others one by one.
fn choices(property: &Map<String, Value>) -> Vec<&str> {
    let listed = property.get("enum").and_then(Value::as_array).into_iter().flatten();
    let described = property.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let described = described.filter_map(Value::as_object).flat_map(choices);
    let one = property.get("const").and_then(Value::as_str);
    listed.filter_map(Value::as_str).chain(one).chain(described).collect()
}

/// The parameters of a processor that takes none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct NoParams {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Edge {
        Soft,
        Hard,
        /// As hard as it gets.
        Razor,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Blur {
        edge: Edge,
        #[schemars(range(min = 1, max = 9))]
        passes: u32,
        fine: bool,
    }

    #[test]
    fn a_refusal_says_what_is_wanted_and_changes_nothing() {
        let mut blur = Blur { edge: Edge::Soft, passes: 1, fine: false };
        for (value, refusal) in [
            (json!({ "edge": "blunt" }), "`edge` is \"blunt\": `soft` or `hard` or `razor` is wanted"),
            (json!({ "edge": "hard", "passes": 10 }), "`passes` is 10: a whole number from 1 to 9 is wanted"),
            (json!({ "edge": "hard", "fine": 1 }), "`fine` is 1: true or false is wanted"),
        ] {
            let Value::Object(params) = value else { unreachable!() };
            assert_eq!(blur.update(&params).unwrap_err().to_string(), refusal);
            assert_eq!((&blur.edge, blur.passes, blur.fine), (&Edge::Soft, 1, false));
        }
        let Value::Object(params) = json!({ "edge": "razor", "unknown": 1 }) else { unreachable!() };
        blur.update(&params).unwrap();
        assert_eq!(blur.edge, Edge::Razor);
    }
}
