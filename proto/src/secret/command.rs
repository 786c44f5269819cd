//! A command line as it may be shown and kept.

use super::{MASK, is_secret, is_secret_parameter, shown_url};

/// Longest argument that is shown whole, in characters.
const ARGUMENT_LEN_MAX: usize = 1000;
/// Most arguments that are shown.
const ARGUMENTS_MAX: usize = 200;
/// Longest command line that is shown, in characters of all its arguments.
pub const COMMAND_LEN_MAX: usize = 20_000;
/// What stands in place of the arguments that are not shown.
const FURTHER: &str = "…";

/// What an option's value is.
#[derive(Clone, Copy)]
enum Kind {
    /// A secret.
    Secret,
    /// `Name: value`.
    Header,
    /// `NAME=VALUE`, a secret where the name says so.
    Named,
    /// `NAME=VALUE` of a variable: what it is called says nothing of what it is.
    Variable,
}

/// The options whose values may be secrets; of those with one dash the value may follow at once.
const OPTIONS: [(&str, Kind); 6] = [
    ("--token", Kind::Secret),
    ("--header", Kind::Header),
    ("-H", Kind::Header),
    ("--env", Kind::Variable),
    ("-e", Kind::Variable),
    ("--kafka-property", Kind::Named),
];

/// The flags that may stand before another short option in one argument.
const SHORT_FLAGS: [char; 1] = ['k'];

/// A command line without its secrets: the values of variables, those of header fields and properties
/// whose names say that they are one, tokens, and what is secret in a URL. What is long is cut: it
/// ends with an argument of its own, `…`, where there were more.
#[must_use]
pub fn shown_command(arguments: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut next = None;
    let mut shown = Vec::new();
    let mut left = COMMAND_LEN_MAX - FURTHER.chars().count();
    for argument in arguments {
        let masked = if let Some(kind) = next.take() {
            value(kind, &argument)
        } else {
            let of = |(name, kind): &(&str, Kind)| Some((option(name, &argument)?, *kind));
            match OPTIONS.iter().find_map(of) {
                Some(("", kind)) => {
                    next = Some(kind);
                    argument
                }
                Some((given, kind)) => {
                    let before = &argument[..argument.len() - given.len()];
                    format!("{before}{}", value(kind, given))
                }
                None => shown_text(argument),
            }
        };
        let text = cut(masked);
        let rest = left.checked_sub(text.chars().count());
        let Some(rest) = rest.filter(|_| shown.len() < ARGUMENTS_MAX) else {
            shown.push(FURTHER.to_owned());
            break;
        };
        left = rest;
        shown.push(text);
    }
    shown
}

/// The value that stands in the same argument as an option; empty where it is the next argument.
fn option<'a>(name: &str, argument: &'a str) -> Option<&'a str> {
    let is_long = name.starts_with("--");
    let rest = if is_long {
        argument.strip_prefix(name)?
    } else {
        let letters = argument.strip_prefix('-')?;
        let letters = letters.trim_start_matches(SHORT_FLAGS);
        letters.strip_prefix(name.trim_start_matches('-'))?
    };
    if rest.is_empty() {
        return Some(rest);
    }
    let joined = rest.strip_prefix('=').filter(|value| !value.is_empty());
    joined.or_else(|| (!is_long).then_some(rest))
}

fn value(kind: Kind, text: &str) -> String {
    let masked = |separator: &str, is_hidden: fn(&str) -> bool| {
        let (name, _) = text.split_once(separator)?;
        is_hidden(name.trim()).then(|| format!("{name}{separator}{MASK}"))
    };
    let hidden = match kind {
        Kind::Secret => Some(MASK.to_owned()),
        Kind::Header => masked(":", is_secret),
        Kind::Named => masked("=", |name| is_secret(name) || is_secret_parameter(name)),
        Kind::Variable => masked("=", |_| true).or_else(|| Some(MASK.to_owned())),
    };
    hidden.unwrap_or_else(|| shown_text(text.to_owned()))
}

fn shown_text(text: String) -> String {
    if text.contains("://") {
        shown_url(&text)
    } else {
        text
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(ARGUMENT_LEN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(arguments: &[&str]) -> Vec<String> {
        shown_command(arguments.iter().map(|one| (*one).to_owned()))
    }

    #[test]
    fn secrets_are_masked_by_their_names_wherever_they_stand() {
        for (arguments, expected) in [
            (
                &["-H", "Authorization: Bearer x"][..],
                &["-H", "Authorization:********"][..],
            ),
            (&["-HX-Api-Key: x"], &["-HX-Api-Key:********"]),
            (&["--header=Cookie: a=b"], &["--header=Cookie:********"]),
            (&["-H", "Accept: a/b"], &["-H", "Accept: a/b"]),
            (&["-e", "API_TOKEN=x"], &["-e", "API_TOKEN=********"]),
            (&["-ePASSWORD=x"], &["-ePASSWORD=********"]),
            (&["--env=TARGET=http://u:p@h/"], &["--env=TARGET=********"]),
            (&["-e", "BEARER=a=b"], &["-e", "BEARER=********"]),
            (&["-ke", "abc"], &["-ke", "********"]),
            (
                &["-kH", "Authorization: x"],
                &["-kH", "Authorization:********"],
            ),
            (&["-kkHCookie: x"], &["-kkHCookie:********"]),
            (&["-k", "Cookie: x"], &["-k", "Cookie: x"]),
            (&["--token", "x", "list"], &["--token", "********", "list"]),
            (&["--token=x"], &["--token=********"]),
            (
                &["--kafka-property", "sasl.password=x"],
                &["--kafka-property", "sasl.password=********"],
            ),
            (
                &["run", "http://h/?token=x&a=1"],
                &["run", "http://h/?token=********&a=1"],
            ),
            (&["--headers-only", "x"], &["--headers-only", "x"]),
        ] {
            assert_eq!(shown(arguments), expected, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        let long = shown(&["--body", &"ü".repeat(2000)]);
        assert_eq!(long[1].chars().count(), ARGUMENT_LEN_MAX + 1);
        let many = shown_command((0..500).map(|at| at.to_string()));
        assert_eq!((many.len(), &many[200][..]), (ARGUMENTS_MAX + 1, FURTHER));
        let whole = shown_command((0..ARGUMENTS_MAX).map(|at| at.to_string()));
        assert_eq!(whole.last().unwrap(), "199");
        let wide = shown_command((0..50).map(|_| "ü".repeat(900)));
        let len: usize = wide.iter().map(|one| one.chars().count()).sum();
        assert!(len <= COMMAND_LEN_MAX, "{len}");
        assert_eq!((wide.len(), &wide[22][..]), (23, FURTHER));
    }

    proptest! {
        #[test]
        fn no_secret_is_left_and_nothing_is_added(
            secret in "[a-z]{12}",
            option in prop::sample::select(vec![
                "--token", "-HAuthorization: ", "--header=Cookie: ", "-eTOKEN=", "--env=A=",
                "-kHCookie: ",
            ]),
        ) {
            let arguments = match option {
                "--token" => vec!["run".to_owned(), option.to_owned(), secret.clone()],
                option => vec!["run".to_owned(), format!("{option}{secret}")],
            };
            let count = arguments.len();
            let shown = shown_command(arguments);
            prop_assert_eq!(shown.len(), count);
            prop_assert!(!shown.join(" ").contains(&secret), "{:?}", shown);
        }
    }
}
