//! The reference page of the configuration, generated from the table of options.

use super::agents::FIELDS;
use super::option::ConfigOption;

const INTRODUCTION: &str = "\
# Configuration

<!-- Generated from the table of options in crates/server/src/config/options.rs: change that, then run
     `UPDATE_DOCS=1 cargo test -p moorline-server --lib config::reference`. -->

An option is taken from the first of these that gives it:

1. its flag, `--tls-cert /etc/moorline/cert.pem`;
2. its environment variable, `MOORLINE_TLS_CERT=/etc/moorline/cert.pem`;
3. the configuration file, `tls.cert = \"/etc/moorline/cert.pem\"`;
4. its default.

The configuration file is the one that `--config` names, else the one that `MOORLINE_CONFIG` names, else
`moorline.toml` in the working directory if there is one, else `$XDG_CONFIG_HOME/moorline/moorline.toml`
(`~/.config/moorline/moorline.toml`) if there is one. A file that is named must exist.

A mistake anywhere stops the start, also in a value that a higher layer overrides, and all mistakes are reported at
once. An unknown key or flag is a mistake, and so is an unknown variable that begins with `MOORLINE_`, except
`MOORLINE_URL` and `MOORLINE_TOKEN`, which the client reads, and `MOORLINE_WORKER_*`, which workers find in their
environment.

`moorline config show` prints every option with its value and where that came from.

Lengths of time are written with their unit: `500ms`, `30s`, `5m`, `1h30m`, `2d`. Sizes are bytes or carry a binary
unit: `65536`, `512 KiB`, `4 MiB`. A relative path is relative to the configuration file's directory, or to the
working directory if a flag or a variable gives it.

## Options
";

const AGENTS: &str = "
## Agents

An agent that is a program is described by an `[[agents]]` table, in the configuration file only:

```toml
[[agents]]
name = \"indexer\"
version = \"1.0.0\"
command = [\"./indexer.py\", \"--fast\"]
```

Its keys are:

| key | takes | default | meaning |
| --- | --- | --- | --- |
";

/// The page, as Markdown.
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for option in ConfigOption::all() {
        page.push_str(&section(option));
    }
    page.push_str(AGENTS);
    for field in FIELDS {
        let row =
            [format!("`{}`", field.name), field.accepts.to_owned(), field.default.to_owned(), field.doc.to_owned()];
        page.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    page
}

fn section(option: &ConfigOption) -> String {
    let (flag, variable) = (option.flag(), option.environment());
    let mut text = format!("\n### `{}`\n\n{}\n\n", option.key, option.doc);
    for (name, value) in [
        ("flag", format!("`--{flag} {}`", option.value_name)),
        ("environment", format!("`{variable}`")),
        ("takes", option.accepts()),
        ("default", option.default_shown().to_owned()),
        ("example", format!("`{variable}={}`", shell_word(option.example))),
    ] {
        text.push_str(&format!("- {name}: {value}\n"));
    }
    text
}

fn shell_word(text: &str) -> String {
    match text {
        text if text.contains('"') => format!("'{text}'"),
        text if text.contains(' ') => format!("\"{text}\""),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_repository_is_the_one_that_the_table_gives() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, reference_markdown()).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == reference_markdown(),
            "docs/configuration.md is not what the table of options gives; run: \
             UPDATE_DOCS=1 cargo test -p moorline-server --lib config::reference"
        );
    }

    #[test]
    fn every_option_and_every_key_of_an_agent_is_on_the_page() {
        let page = reference_markdown();
        for option in ConfigOption::all() {
            for text in [format!("### `{}`", option.key), option.environment(), format!("--{} ", option.flag())] {
                assert!(page.contains(&text), "{text}");
            }
        }
        for field in FIELDS {
            assert!(page.contains(&format!("| `{}` |", field.name)), "{}", field.name);
        }
    }
}
