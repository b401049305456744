//! Regular expressions and normal forms of the page, which `npm/src/unicode.js` hands to this module.

use crate::pattern::to_javascript;
use drift_tokenizer::unicode::{self, Form, Unicode};
use std::cell::RefCell;
use std::ops::Range;

#[link(wasm_import_module = "page")]
unsafe extern "C" {
    /// Compiles a pattern of JavaScript: its number; or -1, and the inbox says why.
    fn regex_new(at: *const u8, len: usize) -> i32;
    /// Leaves start and end of every match in the inbox (u32 each); or -1, and the inbox says why.
    fn regex_find(regex: u32, at: *const u8, len: usize) -> i32;
    fn regex_release(regex: u32);
    /// Leaves the text's form in the inbox. 0 to 3: NFC, NFD, NFKC, NFKD.
    fn normal_form(form: u32, at: *const u8, len: usize);
}

thread_local! {
    static INBOX: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Room for what the page says next.
#[unsafe(no_mangle)]
pub extern "C" fn inbox(len: usize) -> *mut u8 {
    INBOX.with(|inbox| {
        let mut inbox = inbox.borrow_mut();
        *inbox = vec![0; len];
        inbox.as_mut_ptr()
    })
}

fn said() -> Vec<u8> {
    INBOX.with(|inbox| std::mem::take(&mut *inbox.borrow_mut()))
}

fn words() -> String {
    String::from_utf8_lossy(&said()).into_owned()
}

struct Page;

/// Has tokenizers ask the page.
pub fn provide() {
    unicode::provide(&Page);
}

impl Unicode for Page {
    fn compile(&self, pattern: &str) -> Result<u32, String> {
        let pattern = to_javascript(pattern)?;
        // SAFETY: the page reads these bytes, and keeps nothing of them.
        let number = unsafe { regex_new(pattern.as_ptr(), pattern.len()) };
        u32::try_from(number).map_err(|_| words())
    }

    fn find(&self, regex: u32, text: &str) -> Result<Vec<Range<usize>>, String> {
        // SAFETY: as above.
        if unsafe { regex_find(regex, text.as_ptr(), text.len()) } < 0 {
            return Err(words());
        }
        let said = said();
        let numbers = said.as_chunks::<4>().0.iter().map(|n| u32::from_le_bytes(*n) as usize);
        let numbers: Vec<usize> = numbers.collect();
        Ok(numbers.as_chunks::<2>().0.iter().map(|[start, end]| *start..*end).collect())
    }

    fn release(&self, regex: u32) {
        // SAFETY: the page forgets a number.
        unsafe { regex_release(regex) }
    }

    fn normal_form(&self, form: Form, text: &str) -> String {
        // SAFETY: as above.
        unsafe { normal_form(form as u32, text.as_ptr(), text.len()) };
        words()
    }
}
