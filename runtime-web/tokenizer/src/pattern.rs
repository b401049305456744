//! Patterns of tokenizers as JavaScript has them (flags `g` and `v`).
//!
//! Tokenizer files have the syntax of Oniguruma or PCRE, of which `driftc` takes what the crate
//! `fancy-regex` takes. JavaScript's differs in small ways that matter: `\s` and `\w` are other
//! characters there, `.` stops at other line ends, quantifiers cannot be possessive, and `(?i:)` is
//! young. What is in no known pattern is an error here, not a guess.

use std::iter::Peekable;
use std::str::Chars;

/// Characters of `\w`, as Unicode's annex 18 has them.
const WORD: &str = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}";

/// Binary properties; other names are of categories or scripts.
const BINARY: [&str; 8] = [
    "Alphabetic",
    "White_Space",
    "Join_Control",
    "Emoji",
    "Lowercase",
    "Uppercase",
    "Ideographic",
    "Any",
];

/// Long names of general categories; the short ones have one or two letters.
const CATEGORIES: [&str; 8] =
    ["Letter", "Mark", "Number", "Punctuation", "Symbol", "Separator", "Other", "Decimal_Number"];

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
    /// Whether letters stand for both cases, here and in each group around.
    fold: Vec<bool>,
    /// Where in `out` each open group begins, and what closes it.
    groups: Vec<(usize, String)>,
    /// Where the last atom begins, which a quantifier may follow.
    atom: usize,
    /// Groups that were made for atoms that give nothing back.
    atomic: usize,
}

/// # Errors
/// What the pattern has that is not known here.
pub fn to_javascript(pattern: &str) -> Result<String, String> {
    let mut reader = Reader {
        rest: pattern.chars().peekable(),
        out: String::new(),
        fold: vec![false],
        groups: Vec::new(),
        atom: 0,
        atomic: 0,
    };
    reader.all().map_err(|what| format!("{what} in the pattern {pattern}"))?;
    Ok(reader.out)
}

impl Reader<'_> {
    fn all(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '(' => self.open()?,
                ')' => {
                    let (start, end) = self.groups.pop().ok_or("a group that was not opened")?;
                    self.fold.pop();
                    self.out += &end;
                    self.atom = start;
                }
                '*' | '+' | '?' => self.quantifier(c.to_string()),
                '{' => match self.counts() {
                    Some(counts) => self.quantifier(counts),
                    None => self.atom(r"\{"),
                },
                '|' | '^' | '$' => self.out.push(c),
                '.' => self.atom(r"[^\n]"),
                '[' => {
                    self.atom = self.out.len();
                    let class = self.class()?;
                    self.out += &class;
                }
                '\\' => {
                    let escape = self.escape(false)?;
                    self.atom(&escape);
                }
                c => {
                    let letter = self.letter(c)?;
                    self.atom(&letter);
                }
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("a group without an end".into()) }
    }

    fn atom(&mut self, text: &str) {
        self.atom = self.out.len();
        self.out += text;
    }

    fn folding(&self) -> bool {
        self.fold.last() == Some(&true)
    }

    fn eat(&mut self, c: char) -> bool {
        self.rest.next_if_eq(&c).is_some()
    }

    /// What follows `(`.
    fn open(&mut self) -> Result<(), String> {
        let start = self.out.len();
        let (mut fold, mut end) = (self.folding(), ")".to_owned());
        if !self.eat('?') {
            self.out += "(?:";
        } else if self.eat('>') {
            self.atomic += 1;
            self.out += &format!("(?:(?=(?<a{}>", self.atomic);
            end = format!("))\\k<a{}>)", self.atomic);
        } else {
            let mut head = String::new();
            loop {
                match self.rest.next() {
                    Some(c @ (':' | '=' | '!')) => {
                        head.push(c);
                        break;
                    }
                    Some(')') => break,
                    Some(c @ ('i' | '<')) => head.push(c),
                    c => return Err(format!("a group that begins with (?{head}{c:?}")),
                }
            }
            match head.as_str() {
                ":" | "=" | "!" | "<=" | "<!" => self.out += &format!("(?{head}"),
                "i:" => {
                    fold = true;
                    self.out += "(?:";
                }
                // for the rest of the group that it stands in
                "i" => {
                    *self.fold.last_mut().ok_or("no group")? = true;
                    return Ok(());
                }
                _ => return Err(format!("a group that begins with (?{head}")),
            }
        }
        self.groups.push((start, end));
        self.fold.push(fold);
        Ok(())
    }

    /// `{2}`, `{2,}` or `{2,3}`, whose brace was read; `None`: it is no count.
    fn counts(&mut self) -> Option<String> {
        let ahead: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let counts = ahead.split(',').all(|n| n.bytes().all(|b| b.is_ascii_digit()));
        if !counts || !ahead.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        for _ in 0..=ahead.len() {
            self.rest.next();
        }
        Some(format!("{{{ahead}}}"))
    }

    fn quantifier(&mut self, text: String) {
        self.out += &text;
        if self.eat('?') {
            self.out.push('?');
        } else if self.eat('+') {
            // possessive: what a look-ahead has found is not given back
            self.atomic += 1;
            let atom = self.out.split_off(self.atom);
            self.out += &format!("(?:(?=(?<a{0}>{atom}))\\k<a{0}>)", self.atomic);
        }
    }

    /// A character outside of classes.
    fn letter(&self, c: char) -> Result<String, String> {
        let escaped = escaped(c);
        if !self.folding() {
            return Ok(escaped);
        }
        let others = others(c)?;
        if others.is_empty() { Ok(escaped) } else { Ok(format!("[{escaped}{others}]")) }
    }

    /// What follows a backslash, inside of a class or outside.
    fn escape(&mut self, inside: bool) -> Result<String, String> {
        let c = self.rest.next().ok_or("a backslash at the end")?;
        let class = |set: &str, not: bool| match (inside, not) {
            (true, false) => set.to_owned(),
            (_, false) => format!("[{set}]"),
            (_, true) => format!("[^{set}]"),
        };
        Ok(match c {
            's' => r"\p{White_Space}".into(),
            'S' => r"\P{White_Space}".into(),
            'd' => r"\p{Nd}".into(),
            'D' => r"\P{Nd}".into(),
            'w' | 'W' => class(WORD, c == 'W'),
            'n' | 'r' | 't' | 'f' | 'v' => format!("\\{c}"),
            'A' if !inside => "^".into(),
            'z' if !inside => "$".into(),
            'p' | 'P' => format!("\\{c}{{{}}}", self.property()?),
            'x' | 'u' => {
                let digits: String = match self.eat('{') {
                    true => self.rest.by_ref().take_while(|c| *c != '}').collect(),
                    false => self.rest.by_ref().take(if c == 'x' { 2 } else { 4 }).collect(),
                };
                let number = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                format!("\\u{{{:x}}}", number.ok_or("a character without a number")? as u32)
            }
            c if c.is_ascii_alphanumeric() => return Err(format!("\\{c}")),
            c => escaped(c),
        })
    }

    /// `L` or `{Letter}`.
    fn property(&mut self) -> Result<String, String> {
        let name: String = match self.eat('{') {
            true => self.rest.by_ref().take_while(|c| *c != '}').collect(),
            false => self.rest.next().into_iter().collect(),
        };
        if self.folding() && ["Lu", "Ll", "Lt", "Uppercase", "Lowercase"].contains(&name.as_str()) {
            return Err(format!("\\p{{{name}}} without regard to case"));
        }
        let plain = name.len() <= 2 || BINARY.contains(&name.as_str());
        Ok(match plain || CATEGORIES.contains(&name.as_str()) || name.contains('=') {
            true => name,
            false => format!("Script={name}"),
        })
    }

    /// What follows `[`, brackets and all.
    fn class(&mut self) -> Result<String, String> {
        let not = if self.eat('^') { "^" } else { "" };
        // operands of `&&`
        let mut sets = vec![String::new()];
        let mut first = true;
        loop {
            let c = self.rest.next().ok_or("a class without an end")?;
            let item = match c {
                ']' if !first => break,
                '[' if self.rest.peek() == Some(&':') => return Err("[: in a class".into()),
                '[' => self.class()?,
                '&' if self.eat('&') => {
                    sets.push(String::new());
                    continue;
                }
                '\\' => self.escape(true)?,
                c => escaped(c),
            };
            first = false;
            let mut ahead = self.rest.clone();
            let range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
            let set = sets.last_mut().ok_or("no set")?;
            if !range {
                *set += &item;
                if self.fold.last() == Some(&true) && c != '\\' && c != '[' {
                    *set += &others(c)?;
                }
                continue;
            }
            self.rest.next();
            let last = self.rest.next().ok_or("a range without an end")?;
            let to = if last == '\\' { self.escape(true)? } else { escaped(last) };
            *set += &format!("{item}-{to}");
            if self.fold.last() == Some(&true) {
                match (c, last) {
                    ('a'..='z', 'a'..='z') | ('A'..='Z', 'A'..='Z') => {
                        for c in c..=last {
                            *set += &others(c)?;
                        }
                    }
                    ('0'..='9', '0'..='9') => {}
                    _ => return Err("a range without regard to case".into()),
                }
            }
        }
        match sets.as_slice() {
            [one] => Ok(format!("[{not}{one}]")),
            more => {
                let parts: Vec<String> = more.iter().map(|set| format!("[{set}]")).collect();
                Ok(format!("[{not}{}]", parts.join("&&")))
            }
        }
    }
}

/// A character that means itself, inside of classes and outside.
fn escaped(c: char) -> String {
    match c {
        '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|'
        | '/' | '-' => format!("\\{c}"),
        // JavaScript keeps pairs of these for later
        '&' | '!' | '#' | '%' | ',' | ':' | ';' | '<' | '=' | '>' | '@' | '`' | '~' => {
            format!("\\u{{{:x}}}", c as u32)
        }
        c => c.to_string(),
    }
}

/// What else a character stands for where case does not matter.
fn others(c: char) -> Result<String, String> {
    let mut all = String::new();
    if c.is_ascii_alphabetic() {
        all.push(if c.is_ascii_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        });
        // the Kelvin sign and the long s
        match c.to_ascii_lowercase() {
            'k' => all.push('\u{212a}'),
            's' => all.push('\u{17f}'),
            _ => {}
        }
    } else if c.is_alphabetic() && (!c.to_lowercase().eq([c]) || !c.to_uppercase().eq([c])) {
        return Err(format!("{c:?} without regard to case"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::to_javascript;

    #[test]
    fn classes_are_those_of_unicode() {
        let js = |pattern: &str| to_javascript(pattern).unwrap();
        assert_eq!(js(r"\s+(?!\S)"), r"\p{White_Space}+(?!\P{White_Space})");
        assert_eq!(js(r" ?[^\s\p{L}]"), r" ?[^\p{White_Space}\p{L}]");
        assert_eq!(js(r"\pL\p{Han}"), r"\p{L}\p{Script=Han}");
        assert_eq!(js(r"\p{N}{1,3}."), r"\p{N}{1,3}[^\n]");
        assert_eq!(js(r"[\p{P}$+<=>^`|~]"), r"[\p{P}\$\+\u{3c}\u{3d}\u{3e}\^\u{60}\|\u{7e}]");
        assert_eq!(js(r"[\p{C}\x{fffd}&&[^\t\n\r]]"), r"[[\p{C}\u{fffd}]&&[[^\t\n\r]]]");
        assert_eq!(js(r"[a-c一-龥-]"), r"[a-c一-龥\-]");
        assert_eq!(js(r"{a}"), r"\{a\}");
    }

    #[test]
    fn case_is_spelled_out() {
        let js = to_javascript(r"(?i:'s|'ll|[dk])|a").unwrap();
        assert_eq!(js, "(?:'[sS\u{17f}]|'[lL][lL]|[dDkK\u{212a}])|a");
        assert!(to_javascript(r"(?i:ä)").unwrap_err().contains("'ä'"));
    }

    #[test]
    fn possessive_quantifiers_become_look_aheads() {
        let js = |pattern: &str| to_javascript(pattern).unwrap();
        assert_eq!(
            js(r"[^\r\n]?+\p{L}++x"),
            r"(?:(?=(?<a1>[^\r\n]?))\k<a1>)(?:(?=(?<a2>\p{L}+))\k<a2>)x"
        );
        assert_eq!(js(r"(?>a|b)*"), r"(?:(?=(?<a1>a|b))\k<a1>)*");
        assert_eq!(js(r"(ab)*+"), r"(?:(?=(?<a1>(?:ab)*))\k<a1>)");
        assert_eq!(js(r"a+?"), "a+?");
    }

    #[test]
    fn what_is_not_known_is_said() {
        for (pattern, what) in [
            (r"\bx", r"\b"),
            (r"(?x)a", "(?"),
            (r"[[:alpha:]]", "[:"),
            ("(a", "end"),
            (r"a\", "end"),
        ] {
            let error = to_javascript(pattern).unwrap_err();
            assert!(error.contains(what) && error.contains(pattern), "{pattern}: {error}");
        }
    }
}
