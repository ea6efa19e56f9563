//! The little language of filter values: `!` first means not, `*` anything.

use datafusion::logical_expr::expr::Like;
use datafusion::logical_expr::{Expr, col, lit};

/// One value of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) negated: bool,
    /// The text, in which `*` stands for anything.
    pub(crate) text: String,
}

impl Pattern {
    pub(crate) fn new(value: &str) -> Self {
        match value.strip_prefix('!') {
            Some(text) => Self { negated: true, text: text.to_owned() },
            None => Self { negated: false, text: value.to_owned() },
        }
    }

    pub(crate) fn is_glob(&self) -> bool {
        self.text.contains('*')
    }

    /// Whether `column` has the text, `!` left aside.
    pub(crate) fn matches(&self, column: Expr) -> Expr {
        if self.is_glob() { like(column, &self.text) } else { column.eq(lit(self.text.as_str())) }
    }
}

/// Whether `column` fits a text in which `*` stands for anything.
pub(crate) fn like(column: Expr, glob: &str) -> Expr {
    let mut pattern = String::with_capacity(glob.len() + 8);
    for letter in glob.chars() {
        match letter {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => {
                pattern.push('\\');
                pattern.push(letter);
            }
            _ => pattern.push(letter),
        }
    }
    Expr::Like(Like::new(false, Box::new(column), Box::new(lit(pattern)), Some('\\'), false))
}

/// The condition of one option: any of its values, and none of its negated ones.
/// A row without the column is not one of the negated.
pub(crate) fn condition(values: &[String], matches: impl Fn(&Pattern) -> Expr) -> Option<Expr> {
    joined(values, &matches, |pattern| matches(pattern).is_not_true())
}

/// The same of a column that every row has, so that what is not asked for can be told
/// without opening files.
pub(crate) fn condition_on_key(values: &[String], name: &str) -> Option<Expr> {
    let excludes = |pattern: &Pattern| match pattern.matches(col(name)) {
        Expr::Like(like) => Expr::Like(Like { negated: true, ..like }),
        _ => col(name).not_eq(lit(pattern.text.as_str())),
    };
    joined(values, |pattern| pattern.matches(col(name)), excludes)
}

fn joined(
    values: &[String],
    matches: impl Fn(&Pattern) -> Expr,
    excludes: impl Fn(&Pattern) -> Expr,
) -> Option<Expr> {
    let (negated, wanted): (Vec<Pattern>, Vec<Pattern>) =
        values.iter().map(|value| Pattern::new(value)).partition(|pattern| pattern.negated);
    let wanted = wanted.iter().map(matches).reduce(Expr::or);
    wanted.into_iter().chain(negated.iter().map(excludes)).reduce(Expr::and)
}
