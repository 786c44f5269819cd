//! Command lines as a shell reads them: words, quotes, continuations. Nothing is run or looked up: a
//! `$NAME` stays a variable of the document, and what only a shell can do is named.
//!
//! No crate knows both `$'…'`, in which browsers write what they copy, and which dollar sign is quoted.

use std::iter::Peekable;
use std::str::Chars;

/// Most bytes of one command.
const COMMAND_LEN_MAX: usize = 4 << 20;

/// A command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Where its first word begins.
    pub(super) line: u64,
    /// In the writing of documents: a dollar sign is `$$`, and `${NAME}` a variable.
    pub(super) words: Vec<String>,
    /// Names of its variables.
    pub(super) variables: Vec<String>,
    /// What it has that only a shell can do, or why it could not be read to its end.
    pub(super) problem: Option<&'static str>,
    /// Whether it goes on to where no request comes from: a pipe, a file.
    pub(super) goes_on: bool,
}

/// The commands of a script.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut lexer = Lexer {
        letters: text.chars().peekable(),
        line: 1,
        command: Command::default(),
        word: None,
        commands: Vec::new(),
        len: 0,
    };
    lexer.run();
    lexer.commands
}

struct Lexer<'t> {
    letters: Peekable<Chars<'t>>,
    line: u64,
    command: Command,
    word: Option<String>,
    commands: Vec<Command>,
    /// Bytes of the command so far.
    len: usize,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(letter) = self.next() {
            match letter {
                '\n' | ';' => self.end_command(),
                letter if letter.is_whitespace() => self.end_word(),
                '#' if self.word.is_none() => self.skip_line(),
                '\\' => self.escaped(),
                '\'' => self.single_quoted(),
                '"' => self.double_quoted(),
                '$' => self.dollar(),
                '`' => self.problem("`…` runs a command of its own"),
                '|' | '&' => self.operator(letter),
                '>' | '<' => self.redirection(),
                letter => self.push(letter),
            }
        }
        self.end_command();
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.letters.next()?;
        self.line += u64::from(letter == '\n');
        self.len += letter.len_utf8();
        if self.len > COMMAND_LEN_MAX {
            self.problem("the command is longer than 4 MiB");
        }
        Some(letter)
    }

    fn problem(&mut self, words: &'static str) {
        self.command.problem.get_or_insert(words);
    }

    fn word(&mut self) -> &mut String {
        if self.word.is_none() && self.command.words.is_empty() {
            self.command.line = self.line;
        }
        self.word.get_or_insert_default()
    }

    fn push(&mut self, letter: char) {
        let word = self.word();
        if letter == '$' {
            word.push('$');
        }
        word.push(letter);
    }

    fn end_word(&mut self) {
        let words = self.word.take();
        // Behind a pipe or an arrow stands what is no part of the command.
        if !self.command.goes_on {
            self.command.words.extend(words);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.len = 0;
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() || command.problem.is_some() {
            self.commands.push(command);
        }
    }

    fn skip_line(&mut self) {
        while self.letters.peek().is_some_and(|letter| *letter != '\n') {
            self.next();
        }
    }

    fn escaped(&mut self) {
        if self.letters.peek() == Some(&'\r') {
            self.next();
        }
        match self.next() {
            Some('\n') => {}
            Some(letter) => self.push(letter),
            None => self.problem("ends with a backslash"),
        }
    }

    fn single_quoted(&mut self) {
        self.word();
        loop {
            match self.next() {
                Some('\'') => return,
                Some(letter) => self.push(letter),
                None => return self.problem("a ' that is not closed"),
            }
        }
    }

    fn double_quoted(&mut self) {
        self.word();
        loop {
            match self.next() {
                Some('"') => return,
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(letter @ ('"' | '\\' | '$' | '`')) => self.push(letter),
                    Some(letter) => {
                        self.push('\\');
                        self.push(letter);
                    }
                    None => return self.problem("a \" that is not closed"),
                },
                Some('$') => self.variable(),
                Some('`') => self.problem("`…` runs a command of its own"),
                Some(letter) => self.push(letter),
                None => return self.problem("a \" that is not closed"),
            }
        }
    }

    fn dollar(&mut self) {
        if self.letters.peek() == Some(&'\'') {
            self.next();
            self.ansi_quoted();
        } else {
            self.variable();
        }
    }

    /// What follows a dollar sign: `NAME` or `{NAME}`.
    fn variable(&mut self) {
        self.word();
        let is_braced = self.letters.peek() == Some(&'{');
        if is_braced {
            self.next();
        }
        let mut name = String::new();
        while let Some(letter) = self.letters.peek().copied() {
            let is_first = name.is_empty();
            if letter != '_'
                && !letter.is_ascii_alphabetic()
                && (is_first || !letter.is_ascii_digit())
            {
                break;
            }
            name.push(letter);
            self.next();
        }
        let follows = self.letters.peek().copied();
        match (is_braced, follows) {
            (false, Some('(')) if name.is_empty() => self.problem("$(…) runs a command of its own"),
            (false, _) if name.is_empty() => self.push('$'),
            (true, Some('}')) if !name.is_empty() => {
                self.next();
                self.name(name);
            }
            (true, _) => self.problem("${…} does more than to name a variable"),
            (false, _) => self.name(name),
        }
    }

    fn name(&mut self, name: String) {
        self.word().extend(["${", &name, "}"]);
        self.command.variables.push(name);
    }

    /// Within `$'…'`: the escapes of C.
    fn ansi_quoted(&mut self) {
        self.word();
        loop {
            match self.next() {
                Some('\'') => return,
                Some('\\') => self.ansi_escape(),
                Some(letter) => self.push(letter),
                None => return self.problem("a $' that is not closed"),
            }
        }
    }

    fn ansi_escape(&mut self) {
        let Some(letter) = self.next() else {
            return;
        };
        match letter {
            'n' => self.push('\n'),
            't' => self.push('\t'),
            'r' => self.push('\r'),
            'a' => self.push('\u{7}'),
            'b' => self.push('\u{8}'),
            'e' | 'E' => self.push('\u{1b}'),
            'f' => self.push('\u{c}'),
            'v' => self.push('\u{b}'),
            '0'..='7' => self.code(8, 2, letter.to_digit(8).unwrap_or(0)),
            'x' => self.code(16, 2, 0),
            'u' => self.code(16, 4, 0),
            'U' => self.code(16, 8, 0),
            letter => self.push(letter),
        }
    }

    fn code(&mut self, radix: u32, digits: u32, begin: u32) {
        let mut code = begin;
        for _ in 0..digits {
            let Some(digit) = self.letters.peek().and_then(|c| c.to_digit(radix)) else {
                break;
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            self.next();
        }
        // In the two short forms a code is a byte, and beyond ASCII none is a character of its own.
        let is_byte = digits == 2 && code > 0x7f;
        match char::from_u32(code).filter(|letter| !is_byte && *letter != '\0') {
            Some(letter) => self.push(letter),
            None => self
                .problem("bytes that are no text; put the body into a file (--data-binary @FILE)"),
        }
    }

    fn operator(&mut self, letter: char) {
        let is_double = self.letters.peek() == Some(&letter);
        if is_double {
            self.next();
        }
        if letter == '|' && !is_double {
            self.end_word();
            self.command.goes_on = true;
        } else {
            self.end_command();
        }
    }

    fn redirection(&mut self) {
        // The number of what is redirected is no word.
        if self
            .word
            .as_ref()
            .is_some_and(|word| word == "1" || word == "2")
        {
            self.word = None;
        }
        self.end_word();
        self.command.goes_on = true;
        if self
            .letters
            .peek()
            .is_some_and(|next| matches!(next, '>' | '<' | '&'))
        {
            self.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let commands = commands(text);
        assert_eq!(commands.len(), 1, "{commands:?}");
        assert_eq!(commands[0].problem, None);
        commands[0].words.clone()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(
            words("a 'b c' \"d\\\"e\" f\\ g h\\\ni"),
            ["a", "b c", "d\"e", "f g", "hi"]
        );
        assert_eq!(
            words(r#"'{"a": "$x"}' '' "\n""#),
            [r#"{"a": "$$x"}"#, "", "\\n"]
        );
        assert_eq!(words("a # all else\n"), ["a"]);
        assert_eq!(words("a b#c"), ["a", "b#c"]);
        assert_eq!(words("a | jq . > x"), ["a"]);
        assert_eq!(words("a 2>/dev/null"), ["a"]);
        assert_eq!(words("a \\\r\n  b"), ["a", "b"]);
    }

    #[test]
    fn what_browsers_copy_has_escapes_of_its_own() {
        assert_eq!(
            words(r"$'it\'s \u0021 \x41\n\101 \u00e9'"),
            ["it's ! A\nA é"]
        );
    }

    #[test]
    fn variables_stay_variables() {
        let text = "a \"Bearer $TOKEN\" ${X}y '$no' $ $1";
        let command = &commands(text)[0];
        assert_eq!(
            command.words,
            ["a", "Bearer ${TOKEN}", "${X}y", "$$no", "$$", "$$1"]
        );
        assert_eq!(command.variables, ["TOKEN", "X"]);
    }

    #[test]
    fn commands_know_their_lines_and_what_they_cannot() {
        let all = commands("a 1\n\n# c\nb \\\n 2; c && d \"$(date)\"\ne 'x\ny\n");
        let lines: Vec<u64> = all.iter().map(|command| command.line).collect();
        assert_eq!(lines, [1, 4, 5, 5, 6]);
        let problems: Vec<bool> = all.iter().map(|c| c.problem.is_some()).collect();
        assert_eq!(problems, [false, false, false, true, true]);
        for text in ["a `x`", "${a:-b}", "$(x)", "a \\", "\"a", "$'a", r"$'\xff'"] {
            assert!(commands(text)[0].problem.is_some(), "{text}");
        }
    }
}
