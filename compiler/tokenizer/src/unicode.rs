//! Regular expressions and normal forms: compiled in (feature `unicode`), or those of the program around
//! ([`Unicode`]), which in a browser are there already and save most of the code.

use std::ops::Range;
use std::sync::OnceLock;

/// Normal forms of the Unicode standard, annex 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// What knows Unicode. Patterns have the syntax of the crate `regex`, with look-around.
pub trait Unicode: Send + Sync {
    /// Compiles a pattern: its number, or what is wrong with it.
    fn compile(&self, pattern: &str) -> Result<u32, String>;
    /// All matches in order, not overlapping, as places in the text's bytes.
    fn find(&self, regex: u32, text: &str) -> Result<Vec<Range<usize>>, String>;
    /// A pattern that is used no more.
    fn release(&self, regex: u32);
    fn normal_form(&self, form: Form, text: &str) -> String;
}

static GIVEN: OnceLock<&'static dyn Unicode> = OnceLock::new();

/// Has tokenizers that are made from now on use this instead of what is compiled in. The first call
/// counts.
pub fn provide(unicode: &'static dyn Unicode) {
    let _ = GIVEN.set(unicode);
}

/// A compiled pattern.
pub(crate) enum Regex {
    #[cfg(feature = "unicode")]
    Own(Box<fancy_regex::Regex>),
    Given(&'static dyn Unicode, u32),
}

impl Regex {
    pub fn new(pattern: &str) -> Result<Regex, String> {
        if let Some(unicode) = GIVEN.get() {
            return unicode.compile(pattern).map(|number| Regex::Given(*unicode, number));
        }
        own(pattern)
    }

    pub fn find(&self, text: &str) -> Result<Vec<Range<usize>>, String> {
        match self {
            #[cfg(feature = "unicode")]
            Regex::Own(regex) => {
                let found = regex.find_iter(text).map(|m| m.map(|m| m.start()..m.end()));
                found.collect::<Result<_, _>>().map_err(|e| format!("{regex}: {e}"))
            }
            Regex::Given(unicode, number) => unicode.find(*number, text),
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        match self {
            #[cfg(feature = "unicode")]
            Regex::Own(_) => {}
            Regex::Given(unicode, number) => unicode.release(*number),
        }
    }
}

#[cfg(feature = "unicode")]
fn own(pattern: &str) -> Result<Regex, String> {
    let regex = fancy_regex::Regex::new(pattern).map_err(|e| e.to_string())?;
    Ok(Regex::Own(Box::new(regex)))
}

#[cfg(not(feature = "unicode"))]
fn own(_: &str) -> Result<Regex, String> {
    Err("this build has no regular expressions (feature `unicode`), and none were provided".into())
}

pub(crate) fn normal_form(form: Form, text: &str) -> String {
    match GIVEN.get() {
        Some(unicode) => unicode.normal_form(form, text),
        None => own_form(form, text),
    }
}

#[cfg(feature = "unicode")]
fn own_form(form: Form, text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    match form {
        Form::Nfc => text.nfc().collect(),
        Form::Nfd => text.nfd().collect(),
        Form::Nfkc => text.nfkc().collect(),
        Form::Nfkd => text.nfkd().collect(),
    }
}

/// Never reached: tokenizers ask for this when they are made ([`can_normalize`]).
#[cfg(not(feature = "unicode"))]
fn own_form(_: Form, text: &str) -> String {
    text.to_owned()
}

/// Whether there are normal forms.
pub(crate) fn can_normalize() -> bool {
    cfg!(feature = "unicode") || GIVEN.get().is_some()
}
