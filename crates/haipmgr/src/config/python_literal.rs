//! Reads the one assignment of a `parameter.py`, as the Python language reference says a literal is written.
//! Nothing is executed: text, whole numbers and dictionaries are understood, anything else is refused.

use super::problem::{Lines, Position};
use super::value::{Entry, Value};

/// Why a text is not one assignment of a literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotALiteral {
    pub(super) at: Position,
    pub(super) text: String,
}

/// Dictionaries in dictionaries in … are read no deeper than this.
const DEEPEST: usize = 16;

/// Reads `NAME = {…}` with comments and blank lines around it.
///
/// # Errors
/// The first thing that is not that.
pub(super) fn assignment(text: &str, name: &str) -> Result<Entry, NotALiteral> {
    let mut reader = Reader { text, lines: Lines::new(text), at: 0 };
    reader.skip(Across::Lines)?;
    let key_at = reader.position();
    let found = reader.word();
    if found != name {
        return Err(
            reader.refuse_at(key_at, format!("the file must hold nothing but {name} = {{…}} and comments"))
        );
    }
    reader.skip(Across::Continuations)?;
    if !reader.take('=') || reader.peek() == Some('=') {
        return Err(reader.refuse(format!("\"=\" is missing after {name}")));
    }
    reader.skip(Across::Continuations)?;
    let value_at = reader.position();
    let value = reader.value(0)?;
    reader.skip(Across::Continuations)?;
    if !matches!(reader.peek(), None | Some('\n')) {
        return Err(reader.refuse("nothing but a comment may follow in this line"));
    }
    reader.skip(Across::Lines)?;
    if reader.peek().is_some() {
        return Err(reader.refuse(format!(
            "only {name} = {{…}} may stand in this file; it is read, not executed. Remove this"
        )));
    }
    Ok(Entry { key: found.to_owned(), key_at, value, value_at })
}

/// How far white space reaches.
#[derive(Clone, Copy, PartialEq)]
enum Across {
    /// Outside brackets: a line ends unless `\` continues it.
    Continuations,
    /// Inside brackets: line ends are white space.
    Lines,
}

struct Reader<'t> {
    text: &'t str,
    lines: Lines<'t>,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn take_text(&mut self, wanted: &str) -> bool {
        let there = self.rest().starts_with(wanted);
        if there {
            self.at += wanted.len();
        }
        there
    }

    fn position(&self) -> Position {
        self.lines.position(self.at)
    }

    fn refuse(&self, text: impl Into<String>) -> NotALiteral {
        self.refuse_at(self.position(), text)
    }

    #[allow(clippy::unused_self, reason = "reads as its sibling does")]
    fn refuse_at(&self, at: Position, text: impl Into<String>) -> NotALiteral {
        NotALiteral { at, text: text.into() }
    }

    /// Takes a name, possibly empty.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip(&mut self, across: Across) -> Result<(), NotALiteral> {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\u{c}') => self.at += 1,
                Some('\n') if across == Across::Lines => self.at += 1,
                Some('#') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                Some('\\') => {
                    if !self.take_text("\\\n") {
                        return Err(
                            self.refuse("a \"\\\" outside quotes must be the last character of its line")
                        );
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, NotALiteral> {
        if depth > DEEPEST {
            return Err(self.refuse("the dictionaries are nested too deeply"));
        }
        match self.peek() {
            Some('{') => self.dictionary(depth),
            Some('"' | '\'') => Ok(Value::Text(self.strings()?.into())),
            Some(digit) if digit.is_ascii_digit() => self.number(),
            Some(letter) if letter.is_alphabetic() || letter == '_' => {
                let start = self.at;
                let word = self.word();
                if matches!(self.peek(), Some('"' | '\'')) {
                    self.at = start;
                    return Ok(Value::Text(self.strings()?.into()));
                }
                Err(self.refuse_at(
                    self.lines.position(start),
                    format!("\"{word}\" is not a value; the file is read, not executed: write text in quotes, or a number"),
                ))
            }
            Some(other) => Err(self.refuse(format!(
                "\"{}\" does not begin a value; write text in quotes, a number, or {{…}}",
                other.escape_debug()
            ))),
            None => Err(self.refuse("the file ends where a value should be")),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Result<Value, NotALiteral> {
        let opened = self.position();
        self.take('{');
        let mut entries = Vec::new();
        loop {
            self.skip(Across::Lines)?;
            if self.take('}') {
                return Ok(Value::Table(entries));
            }
            let key_at = self.position();
            if self.peek().is_none() {
                return Err(self.refuse_at(opened, "this \"{\" is not closed; write \"}\" at its end"));
            }
            let Value::Text(key) = self.value(depth + 1)? else {
                return Err(self.refuse_at(key_at, "a key must be text in quotes"));
            };
            self.skip(Across::Lines)?;
            if !self.take(':') {
                return Err(self.refuse(format!("\":\" is missing after the key \"{}\"", key.escape_debug())));
            }
            self.skip(Across::Lines)?;
            let value_at = self.position();
            let value = self.value(depth + 1)?;
            entries.push(Entry { key: key.to_string(), key_at, value, value_at });
            self.skip(Across::Lines)?;
            if !self.take(',') && self.peek() != Some('}') {
                return Err(match self.peek() {
                    None => self.refuse_at(opened, "this \"{\" is not closed; write \"}\" at its end"),
                    Some(_) => self
                        .refuse("\",\" or \"}\" is missing here; calculations and calls are not understood"),
                });
            }
        }
    }

    /// Whole decimal numbers (2.4.5 of the reference).
    fn number(&mut self) -> Result<Value, NotALiteral> {
        let at = self.position();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        let digits = rest.get(..end).unwrap_or_default();
        self.at += end;
        let plain = digits.replace('_', "");
        let leading_zero = plain.len() > 1 && plain.starts_with('0') && plain.bytes().any(|b| b != b'0');
        let well_formed = !digits.ends_with('_') && !digits.contains("__") && !leading_zero;
        match plain.parse() {
            Ok(number) if well_formed => Ok(Value::Whole(number)),
            _ => {
                Err(self
                    .refuse_at(at, "this is not a whole number; write its digits, such as 7, and no more"))
            }
        }
    }

    /// One string, or several in a row, which Python joins.
    fn strings(&mut self) -> Result<String, NotALiteral> {
        let mut joined = String::new();
        loop {
            self.string(&mut joined)?;
            let end = self.at;
            self.skip(Across::Lines)?;
            let start = self.at;
            let prefixed = self.word().len() <= 2 && matches!(self.peek(), Some('"' | '\''));
            if !prefixed {
                self.at = end;
                return Ok(joined);
            }
            self.at = start;
        }
    }

    fn string(&mut self, out: &mut String) -> Result<(), NotALiteral> {
        let begins = self.position();
        let raw = match self.word().to_ascii_lowercase().as_str() {
            "" | "u" => false,
            "r" => true,
            prefix => {
                return Err(self.refuse_at(
                    begins,
                    format!("text of the kind {prefix}\"…\" is not understood; write it in plain quotes"),
                ));
            }
        };
        let quote = if self.take_text("\"\"\"") {
            "\"\"\""
        } else if self.take_text("'''") {
            "'''"
        } else if self.take('"') {
            "\""
        } else {
            self.take('\'');
            "'"
        };
        loop {
            if self.take_text(quote) {
                return Ok(());
            }
            match self.peek() {
                None => return Err(self.refuse_at(begins, "this text's closing quote is missing")),
                Some('\n') if quote.len() == 1 => {
                    return Err(self.refuse_at(begins, "this text's closing quote is missing in its line"));
                }
                Some('\u{fffd}') => {
                    return Err(self.refuse("this text is not UTF-8; save the file as UTF-8"));
                }
                Some('\\') if raw => {
                    self.at += 1;
                    out.push('\\');
                    out.extend(self.next());
                }
                Some('\\') => {
                    self.at += 1;
                    self.escape(out)?;
                }
                Some(c) => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    /// What follows a `\` in text that is not raw (2.4.1 of the reference).
    fn escape(&mut self, out: &mut String) -> Result<(), NotALiteral> {
        let at = self.position();
        let Some(c) = self.next() else { return Ok(()) };
        let plain = match c {
            '\n' => return Ok(()),
            '\\' | '\'' | '"' => c,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                self.at -= 1;
                self.code(at, 8, 1, 3)?
            }
            'x' => self.code(at, 16, 2, 2)?,
            'u' => self.code(at, 16, 4, 4)?,
            'U' => self.code(at, 16, 8, 8)?,
            'N' => return Err(self.refuse_at(at, "\\N{…} is not understood; write the character itself")),
            other => {
                // Python leaves an escape that it does not know as it is.
                out.push('\\');
                other
            }
        };
        out.push(plain);
        Ok(())
    }

    fn code(&mut self, at: Position, radix: u32, least: usize, most: usize) -> Result<char, NotALiteral> {
        let digits: String = self.rest().chars().take(most).take_while(|c| c.is_digit(radix)).collect();
        self.at += digits.len();
        u32::from_str_radix(&digits, radix)
            .ok()
            .filter(|_| digits.len() >= least)
            .and_then(char::from_u32)
            .ok_or_else(|| {
                self.refuse_at(
                    at,
                    "this \"\\\" is not followed by a character's code; write \"\\\\\" for a \"\\\" itself",
                )
            })
    }
}

#[cfg(test)]
mod tests;
