//! Licence expressions, as far as crates use them: `A OR B`, `A AND B`, `A WITH exception`, parentheses, and the old
//! spelling `A/B`.

/// Whether an expression can be satisfied with licences that `allowed` accepts. `None` if it is no expression.
pub(crate) fn is_satisfied(expression: &str, allowed: impl Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, allowed: &allowed };
    let satisfied = parser.any()?;
    parser.tokens.is_empty().then_some(satisfied)
}

struct Parser<'a, F> {
    tokens: &'a [&'a str],
    allowed: &'a F,
}

impl<F: Fn(&str) -> bool> Parser<'_, F> {
    fn any(&mut self) -> Option<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Some(satisfied)
    }

    fn all(&mut self) -> Option<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Some(satisfied)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            return self.take(")").then_some(satisfied);
        }
        let (licence, rest) = self.tokens.split_first()?;
        if matches!(*licence, "OR" | "AND" | "WITH" | ")") {
            return None;
        }
        self.tokens = rest;
        if self.take("WITH") {
            let (exception, rest) = self.tokens.split_first()?;
            self.tokens = rest;
            return Some((self.allowed)(licence) || (self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(licence))
    }

    fn take(&mut self, token: &str) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if *first == token => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_satisfied_as_the_standard_has_it() {
        let allowed = |licence: &str| ["MIT", "Apache-2.0", "Zlib"].contains(&licence);
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT AND Zlib", Some(true)),
            ("(MIT OR GPL-3.0) AND Zlib", Some(true)),
            ("(MIT OR GPL-3.0) AND BSD", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("GPL-3.0 WITH LLVM-exception", Some(false)),
            ("MIT/GPL-3.0", Some(true)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT MIT", None),
        ] {
            assert_eq!(is_satisfied(expression, allowed), expected, "{expression:?}");
        }
    }
}
