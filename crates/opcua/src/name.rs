//! How items are named.
//!
//! | name | is |
//! | --- | --- |
//! | `ns=2;s=Line1.Speed`, `i=2258` | a node's identifier (OPC UA Part 6, 5.3.1.10) |
//! | `nsu=http://plant.example/;s=Line1.Speed` | the same with its namespace's URI, which stays when indices move |
//! | `/2:Plant/2:Line1/2:Speed` | a path of browse names from the Objects folder, each with its namespace's index |
//! | `ns=2;i=7/2:Speed` | a path from a node |
//!
//! A `/` in a browse name is written `&/`, a `&` is `&&`. Paths go forward along hierarchical references only: a pattern of
//! names that somebody may read says what is below something, and a way back up would lead out of it.

use std::fmt;

use opcua::types::{
    BrowsePath, Identifier, NodeId, ObjectId, QualifiedName, ReferenceTypeId, RelativePath, RelativePathElement,
};

/// The longest name, in bytes: what fits as the target of a pattern, with room to spare.
const MAX_NAME_BYTES: usize = 512;

/// The most browse names of a path.
const MAX_STEPS: usize = 32;

/// An item's name, understood. It is shown in one way, however it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ItemName {
    start: Start,
    steps: Vec<Step>,
}

/// Where a path begins, or the whole name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Start {
    Objects,
    Node(NodeId),
    InNamespace { uri: String, identifier: Identifier },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    namespace: u16,
    name: String,
}

/// Why a text names no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("an item's name has 1 to {MAX_NAME_BYTES} printable bytes")]
    Length,
    #[error(
        "an item's name is a node's identifier such as ns=2;s=Speed, or a path of browse names such as /2:Line1/2:Speed"
    )]
    Form,
    #[error("a path has at most {MAX_STEPS} browse names, none of them empty")]
    Path,
}

impl ItemName {
    /// The item of this name, relative to `context` if that is not empty.
    pub(crate) fn parse(context: &str, name: &str) -> Result<Self, NameError> {
        let too_long = context.len().saturating_add(name.len()) > MAX_NAME_BYTES;
        if name.is_empty() || too_long || context.chars().chain(name.chars()).any(char::is_control) {
            return Err(NameError::Length);
        }
        if context.is_empty() {
            return Self::absolute(name);
        }
        let mut item = Self::absolute(context)?;
        item.steps.extend(steps(name.strip_prefix('/').unwrap_or(name))?);
        if item.steps.len() > MAX_STEPS { Err(NameError::Path) } else { Ok(item) }
    }

    fn absolute(name: &str) -> Result<Self, NameError> {
        if let Some(path) = name.strip_prefix('/') {
            return Ok(Self { start: Start::Objects, steps: steps(path)? });
        }
        // The identifier of a node may have a slash in it; what follows a slash is a path only if it reads like one.
        if let Some((node, path)) = name.split_once('/').filter(|(_, path)| begins_with_namespace(path)) {
            return Ok(Self { start: start(node)?, steps: steps(path)? });
        }
        Ok(Self { start: start(name)?, steps: Vec::new() })
    }

    /// The node that it is, or the path to that. `None` if the server knows no namespace of its URI.
    pub(crate) fn target(&self, namespace: impl Fn(&str) -> Option<u16>) -> Option<Target> {
        let start = match &self.start {
            Start::Objects => ObjectId::ObjectsFolder.into(),
            Start::Node(node) => node.clone(),
            Start::InNamespace { uri, identifier } => NodeId::new(namespace(uri)?, identifier.clone()),
        };
        if self.steps.is_empty() {
            return Some(Target::Node(start));
        }
        let element = |step: &Step| RelativePathElement {
            reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
            is_inverse: false,
            include_subtypes: true,
            target_name: QualifiedName::new(step.namespace, step.name.as_str()),
        };
        let elements = Some(self.steps.iter().map(element).collect());
        Some(Target::Path(BrowsePath { starting_node: start, relative_path: RelativePath { elements } }))
    }
}

/// What a name leads to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Node(NodeId),
    Path(BrowsePath),
}

fn start(text: &str) -> Result<Start, NameError> {
    if let Some(rest) = text.strip_prefix("nsu=") {
        let (uri, identifier) = rest.split_once(';').ok_or(NameError::Form)?;
        let identifier = identifier.parse().map_err(|_| NameError::Form)?;
        return Ok(Start::InNamespace { uri: uri.to_owned(), identifier });
    }
    text.parse().map(Start::Node).map_err(|_| NameError::Form)
}

fn begins_with_namespace(path: &str) -> bool {
    path.split_once(':').is_some_and(|(digits, _)| digits.parse::<u16>().is_ok())
}

fn steps(path: &str) -> Result<Vec<Step>, NameError> {
    let mut parts = vec![String::new()];
    let mut chars = path.chars();
    while let Some(char) = chars.next() {
        let part = parts.last_mut().ok_or(NameError::Path)?;
        match char {
            '&' => part.push(chars.next().ok_or(NameError::Path)?),
            '/' => parts.push(String::new()),
            char => part.push(char),
        }
    }
    if parts.len() > MAX_STEPS {
        return Err(NameError::Path);
    }
    parts.iter().map(|part| step(part)).collect()
}

fn step(part: &str) -> Result<Step, NameError> {
    let qualified = part.split_once(':').and_then(|(digits, name)| Some((digits.parse().ok()?, name)));
    let (namespace, name) = qualified.unwrap_or((0, part));
    if name.is_empty() { Err(NameError::Path) } else { Ok(Step { namespace, name: name.to_owned() }) }
}

impl fmt::Display for ItemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Objects => {}
            Start::Node(node) => write!(f, "{node}")?,
            Start::InNamespace { uri, identifier } => write!(f, "nsu={uri};{identifier}")?,
        }
        self.steps.iter().try_for_each(|Step { namespace, name }| {
            write!(f, "/{namespace}:{}", name.replace('&', "&&").replace('/', "&/"))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(context: &str, name: &str) -> Result<String, NameError> {
        ItemName::parse(context, name).map(|name| name.to_string())
    }

    #[test]
    fn a_name_is_shown_in_one_way() {
        for (context, name, expected) in [
            ("", "ns=2;s=Line1.Speed", "ns=2;s=Line1.Speed"),
            ("", "ns=0;i=2258", "i=2258"),
            ("", "nsu=urn:plant;s=a", "nsu=urn:plant;s=a"),
            ("", "/2:Plant/2:Speed", "/2:Plant/2:Speed"),
            ("", "/Server", "/0:Server"),
            ("", "/2:a&/b/3:c&&d", "/2:a&/b/3:c&&d"),
            ("", "ns=2;s=a/b", "ns=2;s=a/b"),
            ("", "ns=2;i=7/2:Speed", "ns=2;i=7/2:Speed"),
            ("ns=2;i=7", "2:Speed", "ns=2;i=7/2:Speed"),
            ("ns=2;i=7", "/2:Line1/2:Speed", "ns=2;i=7/2:Line1/2:Speed"),
            ("/2:Plant", "2:Speed", "/2:Plant/2:Speed"),
        ] {
            assert_eq!(shown(context, name), Ok(expected.to_owned()), "{context:?} {name:?}");
        }
    }

    #[test]
    fn what_names_no_item_is_refused() {
        for (name, error) in [
            ("", NameError::Length),
            ("a\nb", NameError::Length),
            (&"x".repeat(600), NameError::Length),
            ("Speed", NameError::Form),
            ("ns=70000;i=1", NameError::Form),
            ("nsu=urn:plant", NameError::Form),
            ("/", NameError::Path),
            ("/2:a//2:b", NameError::Path),
            ("/2:", NameError::Path),
            ("/2:a&", NameError::Path),
            (&"/2:a".repeat(40), NameError::Path),
        ] {
            assert_eq!(shown("", name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn a_namespace_is_looked_up_by_its_uri() {
        let name = ItemName::parse("", "nsu=urn:plant;s=a").unwrap();
        assert!(name.target(|_| None).is_none());
        let Some(Target::Node(node)) = name.target(|uri| (uri == "urn:plant").then_some(3)) else { panic!() };
        assert_eq!(node, NodeId::new(3, "a"));
    }

    #[test]
    fn a_path_goes_forward_only() {
        let name = ItemName::parse("", "/2:a/<!HasComponent>2:b").unwrap();
        let Some(Target::Path(path)) = name.target(|_| None) else { panic!() };
        let elements = path.relative_path.elements.unwrap();
        assert!(elements.iter().all(|element| !element.is_inverse));
        assert_eq!(elements[1].target_name.name.as_ref(), "<!HasComponent>2:b", "it is a browse name like any other");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_the_same_item(name in r"(ns=[1-9];s=[a-zA-Z.]{1,9}|/[0-9]:[a-zA-Z.&]{0,3}x)(/[0-9]:[a-z.]{1,5}){0,3}") {
            if let Ok(item) = ItemName::parse("", &name) {
                prop_assert_eq!(ItemName::parse("", &item.to_string()), Ok(item));
            }
        }
    }
}
