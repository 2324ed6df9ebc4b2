//! Which principals' clients are served as which peer, whatever their first frame looks like.

use std::collections::BTreeMap;
use std::path::Path;

use moorline_types::PrincipalId;
use moorline_wire::{Profile, Word as _};

use super::kind::{Kind, Raw, quoted};

/// `principal=profile`, several times: a TOML array, or text with commas between them; `none` for none at all.
pub(super) struct Profiles;

impl Profiles {
    /// The text for no principal.
    const NONE: &str = "none";

    /// A principal may have an equals sign in it, a profile has none.
    fn entry(text: &str) -> Option<(PrincipalId, Profile)> {
        let (principal, profile) = text.trim().rsplit_once('=')?;
        Some((principal.parse().ok()?, Profile::read(profile)?))
    }

    /// Every entry, if no principal is named twice.
    fn entries<'a>(texts: impl Iterator<Item = &'a str>) -> Option<BTreeMap<PrincipalId, Profile>> {
        let mut profiles = BTreeMap::new();
        for text in texts {
            let (principal, profile) = Self::entry(text)?;
            if profiles.insert(principal, profile).is_some() {
                return None;
            }
        }
        Some(profiles)
    }
}

impl Kind for Profiles {
    type Value = BTreeMap<PrincipalId, Profile>;
    const VALUE_NAME: &'static str = "PRINCIPAL=PROFILE";

    fn accepts(&self) -> String {
        let profiles: Vec<_> = Profile::ALL.iter().map(|profile| profile.as_str()).collect();
        format!(
            "an array of `principal=profile`, each principal once, with a profile of {} (as a flag or variable: with \
             commas between them, or {:?})",
            profiles.join(", "),
            Self::NONE
        )
    }

    fn read(&self, raw: &Raw, _base: &Path) -> Option<Self::Value> {
        match raw {
            Raw::Text(text) if text == Self::NONE => Some(BTreeMap::new()),
            Raw::Text(text) => Self::entries(text.split(',')),
            Raw::List(texts) => Self::entries(texts.iter().map(String::as_str)),
            Raw::Switch(_) | Raw::Number(_) | Raw::Table(_) | Raw::Other(_) => None,
        }
    }

    fn literal(&self, value: &Self::Value) -> Option<String> {
        let entries: Vec<String> =
            value.iter().map(|(principal, profile)| quoted(&format!("{principal}={profile}"))).collect();
        Some(format!("[{}]", entries.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let value = Profiles.read(&Raw::Text(text.to_owned()), Path::new("/"))?;
        Profiles.literal(&value)
    }

    #[test]
    fn a_principal_has_at_most_one_profile() {
        for (text, expected) in [
            ("none", Some("[]")),
            ("ada=python", Some(r#"["ada=python"]"#)),
            ("ada=python, uid=eve,dc=x=go", None),
            ("uid=eve=go , ada=csharp", Some(r#"["ada=csharp", "uid=eve=go"]"#)),
            ("ada=python,ada=go", None),
            ("ada=ruby", None),
            ("ada", None),
            ("=go", None),
            ("", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
        let list = Raw::List(vec!["uid=eve,dc=x=go".to_owned()]);
        assert_eq!(Profiles.read(&list, Path::new("/")).map(|profiles| profiles.len()), Some(1));
    }
}
