//! Looks for secrets in files, as they are and as they may have been encoded.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// A secret, and what a failure calls it: its value is not repeated.
#[derive(Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) kind: &'static str,
    pub(crate) text: &'a str,
}

/// Every file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// The kinds of the secrets that these bytes hold, in whichever form.
pub(crate) fn found_in(content: &[u8], sought: &[Sought<'_>]) -> Vec<&'static str> {
    let holds = |form: &String| content.windows(form.len()).any(|window| window == form.as_bytes());
    sought.iter().filter(|secret| forms(secret.text).iter().any(holds)).map(|secret| secret.kind).collect()
}

/// A secret as it is, and encoded. In base64 it looks otherwise behind one or two bytes of something else; the characters
/// that such neighbours share with it are left out.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), HEXLOWER.encode(secret.as_bytes()), HEXUPPER.encode(secret.as_bytes())];
    for before in 0..3 {
        let shifted = [vec![0; before], secret.as_bytes().to_vec()].concat();
        let whole = shifted.len() / 3 * 3;
        for encoded in [BASE64.encode(&shifted[..whole]), BASE64URL_NOPAD.encode(&shifted[..whole])] {
            forms.push(encoded[if before == 0 { 0 } else { 4 }..].to_owned());
        }
    }
    forms
}
