//! Secrets that travel by name: a test says `$secret(NAME)`, and only the driver knows the value.
//!
//! They come from a file of `NAME=value` lines, and from the environment as `DLTS_SECRET_NAME`:
//! with that prefix, so that a test cannot ask for anything else that the environment holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proto::secret::is_secret;
use proto::workload::{Escape, Workload};

use super::requests::templates;
use crate::plan::Plan;

/// What a name in the environment begins with.
const PREFIX: &str = "DLTS_SECRET_";
const OPEN: &str = "$secret(";

/// The secrets of this driver.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

/// Names only: nothing that prints it may tell a value.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    /// Those of the environment, and those of a file, which go first.
    ///
    /// # Errors
    /// In words, when the file cannot be read, or a line of it is none; the line is not told.
    pub fn load(file: Option<&Path>) -> Result<Self, String> {
        let of_environment = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(PREFIX)?.to_owned();
            Some((name, value.into_string().ok()?))
        });
        let mut secrets: BTreeMap<String, String> = of_environment.collect();
        if let Some(file) = file {
            let at = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("--secret-file {at}: {error}"))?;
            secrets.extend(parse(&text).map_err(|error| format!("--secret-file {at}: {error}"))?);
        }
        Ok(Self(secrets))
    }

    /// Fills in what a test names.
    ///
    /// # Errors
    /// In words, when a name is unknown here, or its value can be in no header or path.
    pub fn fill(&self, workload: &mut Workload) -> Result<(), String> {
        for (_, value) in &mut workload.request.headers {
            *value = self.filled(value)?;
        }
        workload.target.path = self.filled(&workload.target.path)?;
        Ok(())
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        self.0.values()
    }

    /// The value of a secret, if this driver has it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn filled(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((name, after)) = after.split_once(')') else {
                break;
            };
            filled.push_str(before);
            filled.push_str(self.get(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    fn get(&self, name: &str) -> Result<&str, String> {
        let value = self.0.get(name).ok_or_else(|| {
            format!(
                "this driver has no secret {name:?}; give it a line {name}=… in its --secret-file, \
                 or {PREFIX}{name} in its environment"
            )
        })?;
        if value.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
            return Err(format!(
                "the secret {name:?} has characters that no header may have"
            ));
        }
        Ok(value)
    }
}

/// Secrets, in every form in which a request, or an answer that repeats it, can hold them.
#[must_use]
pub fn forms_of<'s>(secrets: impl IntoIterator<Item = &'s String>) -> Vec<String> {
    let escapes = [Escape::Nothing, Escape::UrlPart, Escape::Form, Escape::Json];
    let form = |secret: &String, escape: Escape| {
        let mut written = Vec::new();
        escape.write(secret.as_bytes(), &mut written);
        String::from_utf8_lossy(&written).into_owned()
    };
    let hidden = secrets.into_iter().filter(|secret| !secret.is_empty());
    hidden
        .flat_map(|secret| escapes.map(|escape| form(secret, escape)))
        .collect()
}

/// What no report of a load may tell, in every form: these secrets, and what stands in the plan's
/// own header fields that are secrets by their names.
#[must_use]
pub fn hidden<'s>(plan: &Plan, secrets: impl IntoIterator<Item = &'s String>) -> Vec<String> {
    let own = plan.workload().request.headers.iter().cloned();
    let scenario = plan.cast().map(|cast| &cast.scenario);
    let steps = scenario.map(|scenario| templates(scenario));
    let of_steps = steps.into_iter().flatten().flat_map(|step| step.headers);
    let of_steps = of_steps.filter_map(|(name, value)| {
        let fixed = String::from_utf8_lossy(value.as_fixed()?).into_owned();
        Some((name, fixed))
    });
    let values = own.chain(of_steps).filter(|(name, _)| is_secret(name));
    // `Bearer abc`: who repeats it may leave the scheme out.
    let values = values.flat_map(|(_, value)| {
        let bare = value.rsplit(' ').next().map(str::to_owned);
        [Some(value), bare].into_iter().flatten()
    });
    let values: BTreeSet<String> = values.chain(secrets.into_iter().cloned()).collect();
    forms_of(&values)
}

fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let pair = |(at, line): (usize, &str)| {
        let (name, value) = line
            .split_once('=')
            .filter(|(name, _)| !name.trim().is_empty())
            .ok_or_else(|| format!("line {} is not NAME=value", at + 1))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    lines.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(text: &str) -> Secrets {
        Secrets(parse(text).unwrap().into_iter().collect())
    }

    #[test]
    fn names_are_filled_in_wherever_they_stand() {
        let secrets = secrets("# ours\nTOKEN = t0p=\n\nK=k");
        assert_eq!(
            secrets.filled("Bearer $secret(TOKEN)").unwrap(),
            "Bearer t0p="
        );
        assert_eq!(
            secrets.filled("/?a=$secret(K)&b=$secret(K)").unwrap(),
            "/?a=k&b=k"
        );
        assert_eq!(
            secrets.filled("$5, and $secret(open").unwrap(),
            "$5, and $secret(open"
        );
    }

    #[test]
    fn what_is_not_known_is_told_with_the_remedy_and_without_any_value() {
        let error = secrets("K=value").filled("$secret(OTHER)").unwrap_err();
        assert!(error.contains("DLTS_SECRET_OTHER"), "{error}");
        let error = secrets("K=a\tb").filled("$secret(K)").unwrap_err();
        assert!(
            error.contains("no header") && !error.contains("a\tb"),
            "{error}"
        );
        let error = parse("K=1\nsecret-without-a-name").unwrap_err();
        assert_eq!(error, "line 2 is not NAME=value");
        assert_eq!(format!("{:?}", secrets("K=value")), "{\"K\"}");
    }
}
