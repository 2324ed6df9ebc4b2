use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::config::files::{Entry, Files};
use crate::config::{Config, ConfigFile, Mistakes, Sources};

/// A disk with these entries.
#[derive(Debug)]
struct Disk(BTreeMap<&'static str, Entry>);

impl Files for Disk {
    fn entry(&self, path: &Path) -> Entry {
        path.to_str().and_then(|path| self.0.get(path).copied()).unwrap_or(Entry::Missing)
    }
}

fn disk() -> Disk {
    Disk(BTreeMap::from([
        ("/usr/bin", Entry::Directory),
        ("/usr/bin/python3", Entry::Executable),
        ("/usr/bin/notes", Entry::File),
        ("/etc/agents/run.sh", Entry::Executable),
        ("/etc/agents/plain.sh", Entry::File),
        ("/srv", Entry::Directory),
        ("/etc/agents/here", Entry::Directory),
    ]))
}

/// Resolves a file at `/etc/agents/moorline.toml`.
fn resolve(text: &str) -> Result<Vec<AgentConfig>, Mistakes> {
    let env = [("HOME", "/users/ada"), ("PATH", "/nowhere:relative:/usr/bin")];
    let sources = Sources {
        flags: BTreeMap::new(),
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        file: ConfigFile::Read { path: "/etc/agents/moorline.toml".into(), text: text.to_owned() },
        cwd: "/".into(),
        program: Some("/usr/bin/moorline".into()),
        files: &disk(),
    };
    Config::resolve(sources).map(|(config, _)| config.agents)
}

/// One agent with this line added or put in the place of the line for the same key.
fn agent_with(line: &str) -> String {
    let key = line.split(['.', ' ']).next().unwrap_or_default();
    let lines = ["name = \"a\"", "version = \"1\"", "command = [\"python3\"]"];
    let kept: Vec<&str> = lines.into_iter().filter(|kept| !kept.starts_with(&format!("{key} "))).collect();
    format!("[[agents]]\n{}\n{line}\n", kept.join("\n"))
}

/// The only mistake in a file, as it is shown.
fn only_mistake(text: &str) -> String {
    let mistakes = resolve(text).unwrap_err();
    assert_eq!(mistakes.iter().count(), 1, "{mistakes}");
    mistakes.to_string()
}

#[test]
fn a_field_that_is_wrong_is_refused_at_its_place_with_the_remedy() {
    for (line, expected) in [
        ("name = \"Upper\"", "an agent name is"),
        ("name = 1", "1 is no value for \"name\""),
        ("version = \"a b\"", "an agent version is"),
        ("version = \"\"", "an agent version is"),
        ("command = []", "remedy: for example command = [\"./indexer.py\", \"--fast\"]"),
        ("command = [1]", "an array is no value for \"command\""),
        ("command = \"\"", "no program \"\" on PATH"),
        ("command = \"python4\"", "no program \"python4\" on PATH"),
        ("command = \"notes\"", "no program \"notes\" on PATH"),
        ("command = \"python3 run.py\"", "further elements of the array"),
        ("command = \"./nothing.sh\"", "no program at /etc/agents/nothing.sh"),
        ("command = \"./plain.sh\"", "chmod +x /etc/agents/plain.sh"),
        ("command = \"/srv\"", "/srv is not an executable file"),
        ("description = \"\"", "at most 1024 bytes"),
        ("cwd = \"/nothing\"", "mkdir -p /nothing"),
        ("cwd = \"~/x\"", "is not expanded"),
        ("cwd = 1", "1 is no value for \"cwd\""),
        ("capacity = 0", "from 1 to 1024"),
        ("capacity = 1025", "from 1 to 1024"),
        ("capacity = \"4\"", "from 1 to 1024"),
        ("default = 1", "1 is no value for \"default\", which takes true or false"),
        ("env = \"A=secret\"", "a string is no value for \"env\""),
        ("env = { A = 1 }", "a table is no value for \"env\""),
        ("env = { \"A=B\" = \"secret\" }", "a table is no value for \"env\""),
        ("commmand = \"x\"", "did you mean \"command\"?"),
        ("colour = \"x\"", "an agent has name, version, command"),
    ] {
        let mistake = only_mistake(&agent_with(line));
        assert!(mistake.contains(expected), "{line}: {mistake}");
        assert!(mistake.contains("moorline.toml:") && mistake.contains("remedy: "), "{line}: {mistake}");
        assert!(!mistake.contains("secret"), "{line}: {mistake}");
    }
}

#[test]
fn a_field_that_is_missing_is_named() {
    for field in ["name", "version", "command"] {
        let lines = ["name = \"a\"", "version = \"1\"", "command = \"python3\""];
        let kept: Vec<&str> = lines.into_iter().filter(|line| !line.starts_with(field)).collect();
        let mistake = only_mistake(&format!("[[agents]]\n{}\n", kept.join("\n")));
        assert!(mistake.contains(&format!("no {field:?}")) && mistake.contains("moorline.toml:1:1"), "{mistake}");
    }
}

#[test]
fn what_must_not_be_there_twice_is_refused_at_the_second_place() {
    let agent = |version: &str, default: bool| {
        format!("[[agents]]\nname = \"a\"\nversion = {version:?}\ncommand = \"python3\"\ndefault = {default}\n")
    };
    let twice = only_mistake(&(agent("1", false) + &agent("1", false)));
    assert!(twice.contains("a@1 is configured twice") && twice.contains("toml:8:11"), "{twice}");
    let defaults = only_mistake(&(agent("1", true) + &agent("2", true)));
    assert!(defaults.contains("a has more than one default") && defaults.contains("toml:10:11"), "{defaults}");
}

#[test]
fn something_else_than_tables_is_refused() {
    for text in ["agents = 1", "agents = [1]", "[agents]\nname = \"a\""] {
        assert!(only_mistake(text).contains("[[agents]] heading"), "{text}");
    }
    let many = "[[agents]]\n".repeat(MAX_AGENTS + 1);
    assert!(only_mistake(&many).contains("more than 256 agents"));
}

#[test]
fn all_mistakes_of_all_agents_are_reported() {
    let mistakes = resolve("[[agents]]\nname = \"A\"\n[[agents]]\ncapacity = 0\ncolour = 1\n").unwrap_err();
    assert_eq!(mistakes.iter().count(), 8, "{mistakes}");
}

#[test]
fn an_agent_gets_what_is_given_and_defaults_for_the_rest() {
    let agents = resolve(
        "[[agents]]\nname = \"a\"\nversion = \"1\"\ncommand = [\"python3\", \"-u\", \"run.py\"]\n\
         [[agents]]\nname = \"a\"\nversion = \"2\"\ncommand = \"./run.sh\"\ncwd = \"here\"\ncapacity = 1024\n\
         default = true\ndescription = \"text\"\nenv.TOKEN = \"secret\"\n",
    );
    let [plain, full] = <[AgentConfig; 2]>::try_from(agents.unwrap()).unwrap();
    assert_eq!(plain.program, Path::new("/usr/bin/python3"));
    assert_eq!(plain.args, ["-u", "run.py"]);
    assert_eq!((plain.capacity, plain.is_default, plain.cwd), (DEFAULT_CAPACITY, false, None));
    assert_eq!(full.program, Path::new("/etc/agents/run.sh"));
    assert_eq!(full.cwd.as_deref(), Some(Path::new("/etc/agents/here")));
    assert_eq!((full.capacity.get(), full.is_default), (1024, true));
    assert_eq!(full.env["TOKEN"].expose(), "secret");
    assert!(!format!("{full:?}").contains("secret"));
}

#[test]
fn an_array_of_inline_tables_is_the_same() {
    let agents = resolve("agents = [{ name = \"a\", version = \"1\", command = \"python3\" }]").unwrap();
    assert_eq!(agents[0].agent.to_string(), "a@1");
}

#[test]
fn what_the_documentation_says_about_bounds_is_so() {
    let field = |name| FIELDS.iter().find(|field| field.name == name).unwrap();
    assert_eq!(field("capacity").accepts, format!("a number from 1 to {MAX_AGENT_CAPACITY}"));
    assert_eq!(field("capacity").default, DEFAULT_CAPACITY.to_string());
}
