//! What publishing does to SQL, undone where only one reading is left.
//!
//! Queries are copied from pages, notebooks and chat, where line breaks, commas
//! and keywords get lost. Each repair turns what no engine can read into the one
//! thing that it can mean, and is said to the asker.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use super::tokens::{is_keyword, next, replace, token};

/// Repairs what it can, and says what it did.
pub(super) fn repair(tokens: &mut Vec<TokenWithSpan>) -> Vec<String> {
    let mut notes = Vec::new();
    run_on_words(tokens, &mut notes);
    lost_where(tokens, &mut notes);
    lost_commas(tokens, &mut notes);
    notes
}

/// `errorMessageORDER BY` is `errorMessage ORDER BY`: BY follows nothing else.
fn run_on_words(tokens: &mut Vec<TokenWithSpan>, notes: &mut Vec<String>) {
    let mut at = 0;
    while at < tokens.len() {
        let split = match token(tokens, at) {
            Some(Token::Word(word))
                if word.quote_style.is_none() && word.keyword == Keyword::NoKeyword =>
            {
                let followed_by = next(tokens, at + 1).and_then(|next| token(tokens, next));
                let endings: &[&str] = match followed_by {
                    Some(Token::Word(next)) if next.keyword == Keyword::BY => &["ORDER", "GROUP"],
                    Some(Token::Number(..)) => &["LIMIT"],
                    _ => &[],
                };
                endings.iter().find_map(|ending| {
                    let at = word.value.len().checked_sub(ending.len()).filter(|at| *at > 0)?;
                    let (first, last) = word.value.split_at_checked(at)?;
                    last.eq_ignore_ascii_case(ending).then(|| (first.to_owned(), last.to_owned()))
                })
            }
            _ => None,
        };
        if let Some((first, last)) = split {
            notes.push(format!("read {first}{last} as {first} {last}"));
            let words = vec![
                Token::make_word(&first, None),
                Token::Whitespace(Whitespace::Space),
                Token::make_word(&last, None),
            ];
            replace(tokens, at, at + 1, words);
        }
        at += 1;
    }
}

/// After the tables of a FROM comes no AND; it was a WHERE.
fn lost_where(tokens: &mut [TokenWithSpan], notes: &mut Vec<String>) {
    // For each open parenthesis whether we are among the tables of a FROM.
    let mut among_tables = vec![false];
    let mut previous = None;
    for at in 0..tokens.len() {
        let Some(here) = token(tokens, at).cloned() else { continue };
        match &here {
            Token::Whitespace(_) => continue,
            Token::LParen => among_tables.push(false),
            Token::RParen if among_tables.len() > 1 => drop(among_tables.pop()),
            Token::Word(word) => {
                let Some(state) = among_tables.last_mut() else { continue };
                match word.keyword {
                    // IS DISTINCT FROM
                    Keyword::FROM if previous != Some(Keyword::DISTINCT) => *state = true,
                    Keyword::AND if *state => {
                        *state = false;
                        notes.push("read AND after the table as WHERE".to_owned());
                        if let Some(token) = tokens.get_mut(at) {
                            token.token = Token::make_word("WHERE", None);
                        }
                    }
                    Keyword::NoKeyword | Keyword::AS | Keyword::JOIN | Keyword::CROSS => {}
                    Keyword::WHERE
                    | Keyword::ON
                    | Keyword::USING
                    | Keyword::GROUP
                    | Keyword::HAVING
                    | Keyword::ORDER
                    | Keyword::UNION
                    | Keyword::SELECT => *state = false,
                    _ => {}
                }
                previous = Some(word.keyword);
                continue;
            }
            _ => {}
        }
        previous = None;
    }
}

/// Two texts beside each other in a list of IN had a comma between them.
fn lost_commas(tokens: &mut Vec<TokenWithSpan>, notes: &mut Vec<String>) {
    let mut in_list = vec![false];
    let mut previous: Option<Token> = None;
    let mut at = 0;
    while at < tokens.len() {
        let Some(here) = token(tokens, at).cloned() else { break };
        match &here {
            Token::Whitespace(_) => {
                at += 1;
                continue;
            }
            Token::LParen => in_list.push(is_keyword(previous.as_ref(), Keyword::IN)),
            Token::RParen if in_list.len() > 1 => drop(in_list.pop()),
            Token::SingleQuotedString(text) => {
                if in_list.last() == Some(&true)
                    && let Some(Token::SingleQuotedString(before)) = &previous
                {
                    notes.push(format!("read '{before}' '{text}' as '{before}', '{text}'"));
                    replace(tokens, at, at, vec![Token::Comma]);
                    at += 1;
                }
            }
            _ => {}
        }
        previous = Some(here);
        at += 1;
    }
}
