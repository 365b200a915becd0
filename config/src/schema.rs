//! The JSON Schema of operators' files, for editors: names and types from the types, words and defaults from the manual.
//!
//! An editor sees one file of several layers, so no key of a table is required here: `tickgate check` sees all
//! layers, and says what is missing.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::layers::{DEFAULTS, NAMED};
use crate::manual::Manual;
use crate::settings::Settings;

/// The JSON Schema (draft 2020-12) of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|it| it.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Settings>();
    let mut schema = schema.to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "Tickgate's configuration".into());
        explain(root, "", &Manual::read(DEFAULTS));
    }
    schema
}

/// Gives each key of a table what the manual says of it.
fn explain(table: &mut Map<String, Value>, path: &str, manual: &Manual) {
    table.remove("required");
    let Some(Value::Object(keys)) = table.get_mut("properties") else {
        return;
    };
    for (name, key) in keys {
        let Value::Object(key) = key else { continue };
        let is_named = path.is_empty() && NAMED.contains(&name.as_str());
        let path = match path {
            "" if is_named => format!("template.{name}"),
            "" => name.clone(),
            _ => format!("{path}.{name}"),
        };
        if let Some(text) = manual.text(&path) {
            key.insert("description".into(), text.into());
        }
        // A table's keys have defaults of their own.
        key.remove("default");
        if let Some(value) = manual
            .default(&path)
            .and_then(|it| serde_json::to_value(it).ok())
        {
            key.insert("default".into(), value);
        }
        if let Some(Value::Object(member)) = key.get_mut("additionalProperties") {
            explain(member, &path, manual);
        }
        explain(key, &path, manual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each key's path in the manual, and its schema.
    fn keys(table: &Value, path: &str, found: &mut Vec<(String, Value)>) {
        for (name, key) in table["properties"].as_object().into_iter().flatten() {
            let is_named = path.is_empty() && NAMED.contains(&name.as_str());
            let path = match path {
                "" if is_named => format!("template.{name}"),
                "" => name.clone(),
                _ => format!("{path}.{name}"),
            };
            if key["type"] == "object" {
                keys(key, &path, found);
                keys(&key["additionalProperties"], &path, found);
            } else {
                found.push((path, key.clone()));
            }
        }
    }

    #[test]
    fn every_key_is_explained_and_the_manual_knows_no_other() {
        let schema = schema();
        let mut found = Vec::new();
        keys(&schema, "", &mut found);
        // `[layout.core.NAME]` is shown beside `layout.kind`.
        found.retain(|(path, _)| !path.starts_with("layout.core."));
        for (path, key) in &found {
            let text = key["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "default.toml does not explain {path}");
        }
        let known: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        let manual = Manual::read(DEFAULTS);
        let is_section = |path: &str| known.iter().any(|key| key.starts_with(&format!("{path}.")));
        for path in manual.paths() {
            let is_parameters = path == "template.strategy.parameters";
            assert!(
                known.contains(&path) || is_section(path) || is_parameters,
                "no setting is called {path}"
            );
        }
    }

    #[test]
    fn types_defaults_and_words_meet() {
        let schema = schema();
        let feed = &schema["properties"]["feed"]["additionalProperties"];
        assert_eq!(feed["properties"]["stale_ms"]["default"], 2000);
        assert_eq!(
            feed["properties"]["venue"]["enum"],
            serde_json::json!(["nasdaq", "iex"])
        );
        assert_eq!(feed["additionalProperties"], false);
        let line = &feed["properties"]["lines"]["items"];
        assert_eq!(line["required"], serde_json::json!(["address"]));
        let risk = &schema["properties"]["session"]["additionalProperties"]["properties"]["risk"];
        assert_eq!(risk.get("required"), None);
        assert_eq!(risk["properties"]["collar_bps"].get("default"), None);
    }
}
