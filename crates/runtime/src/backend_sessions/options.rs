//! What may be among the options of a back end: nothing that is secret, because they are a record of the journal.

use serde_json::Value;

/// How the name of a field ends whose text is a secret, without regard to case and to what is between words.
const SECRETS: [&str; 9] =
    ["password", "passwd", "pwd", "passphrase", "secret", "token", "apikey", "privatekey", "credential"];

/// Where the options have a secret in clear, if they do. What looks like one by its name and is no text is none: a tag
/// may be called so.
pub(super) fn secret_in(options: &Value) -> Option<String> {
    match options {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value.as_str() {
            Some(text) => (is_secret(name) && !text.is_empty()).then(|| name.clone()),
            None => secret_in(value).map(|inner| format!("{name}.{inner}")),
        }),
        Value::Array(values) => values.iter().find_map(secret_in),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn is_secret(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let letters = letters.to_ascii_lowercase();
    SECRETS.iter().any(|ending| letters.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_in_clear_is_found_by_the_name_of_its_field() {
        for (options, found) in [
            (json!({ "password": "x" }), Some("password")),
            (json!({ "userPassword": "x" }), Some("userPassword")),
            (json!({ "endpoint": { "API-Key": "x" } }), Some("endpoint.API-Key")),
            (json!({ "users": [{ "name": "ada" }, { "pass_phrase": "x" }] }), Some("users.pass_phrase")),
            (json!({ "access_token": "x" }), Some("access_token")),
            (json!({ "password": "" }), None),
            (json!({ "password_file": "line1.password" }), None),
            (json!({ "tags": { "Line1.Password": { "wave": "memory", "value": "x" } } }), None),
            (json!({ "tokens": 3, "secret": null, "endpoint": "line1" }), None),
        ] {
            assert_eq!(secret_in(&options).as_deref(), found, "{options}");
        }
    }
}
