//! Reads variables one by one, so that all faults are told at once and the table of variables can't lag behind.

use super::Variable;

/// Asks for variables, and remembers what was asked and what was wrong.
pub(super) struct Reader<'a> {
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) faults: Vec<String>,
    pub(super) variables: Vec<Variable>,
}

pub(super) type Parsed<T> = Result<T, String>;

impl Reader<'_> {
    /// A variable with a default.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> T {
        self.variables.push(Variable { name, default, meaning });
        let fallback = || parse(default).expect("a default holds to its own rule");
        match self.platform(name).map(|text| parse(&text)) {
            None => fallback(),
            Some(Ok(value)) => value,
            Some(Err(why)) => {
                self.fault(name, &why);
                fallback()
            }
        }
    }

    /// A variable whose absence means something that its text can't say.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        self.variables.push(Variable { name, default, meaning });
        let value = self.platform(name).map(|text| parse(&text))?;
        value.map_err(|why| self.fault(name, &why)).ok()
    }

    /// A variable that the platform sets, which users don't.
    pub(super) fn platform(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    pub(super) fn is_absent(&self, name: &str) -> bool {
        self.platform(name).is_none()
    }

    pub(super) fn fault(&mut self, name: &str, why: &str) {
        self.faults.push(format!("{name} {why}"));
    }
}
