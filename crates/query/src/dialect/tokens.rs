//! What DataFusion's parser cannot read, said so that it can.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::views::LAKE;

/// Tokens that a name in angle brackets may have.
const PLACEHOLDER_TOKENS_MAX: usize = 16;

pub(super) fn translate(tokens: &mut Vec<TokenWithSpan>) {
    data_store_ids(tokens);
    address_literals(tokens);
    nested_types(tokens);
    single_values(tokens);
    distinctions(tokens);
}

/// The next token from `at` on that is no blank or comment.
pub(super) fn next(tokens: &[TokenWithSpan], at: usize) -> Option<usize> {
    (at..tokens.len()).find(|at| !matches!(token(tokens, *at), Some(Token::Whitespace(_))))
}

pub(super) fn token(tokens: &[TokenWithSpan], at: usize) -> Option<&Token> {
    tokens.get(at).map(|token| &token.token)
}

pub(super) fn is_keyword(token: Option<&Token>, wanted: Keyword) -> bool {
    matches!(token, Some(Token::Word(word)) if word.keyword == wanted)
}

/// Puts `with` in the place of some tokens.
pub(super) fn replace(tokens: &mut Vec<TokenWithSpan>, from: usize, to: usize, with: Vec<Token>) {
    let span = tokens
        .get(from)
        .map_or_else(datafusion::sql::sqlparser::tokenizer::Span::empty, |token| token.span);
    let with = with.into_iter().map(|token| TokenWithSpan::new(token, span));
    drop(tokens.splice(from..to, with));
}

/// An event data store goes by its id: `FROM 3270e016-59a1-4448-8dd1-d27a4796502d`,
/// which is no name in SQL; samples have `$EDS_ID` or `<event_data_store_id>` in
/// its place. There is one data store here.
fn data_store_ids(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let introduces = is_keyword(token(tokens, at), Keyword::FROM)
            || is_keyword(token(tokens, at), Keyword::JOIN);
        at += 1;
        if !introduces {
            continue;
        }
        let Some(name) = next(tokens, at) else { return };
        let end = match token(tokens, name) {
            Some(Token::Placeholder(_)) => Some(name + 1),
            Some(Token::Lt) => bracketed_end(tokens, name),
            _ => id_end(tokens, name),
        };
        if let Some(end) = end {
            replace(tokens, name, end, vec![Token::make_word(LAKE, None)]);
        }
    }
}

/// The end of `<some words>`.
fn bracketed_end(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    for at in from + 1..tokens.len().min(from + PLACEHOLDER_TOKENS_MAX) {
        match token(tokens, at)? {
            Token::Gt => return Some(at + 1),
            Token::Word(_) | Token::Number(..) | Token::Minus | Token::Whitespace(_) => {}
            _ => return None,
        }
    }
    None
}

/// The end of a UUID that stands there without quotes.
fn id_end(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    let mut text = String::new();
    for at in from..tokens.len() {
        match token(tokens, at)? {
            part @ (Token::Word(_) | Token::Number(..) | Token::Minus) => {
                text.push_str(&part.to_string());
            }
            _ => return None,
        }
        if text.len() >= 36 {
            return is_uuid(&text).then_some(at + 1);
        }
    }
    None
}

/// Whether a name is the id of an event data store.
pub(super) fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// `IPADDRESS '10.0.0.0'` becomes `ip_address('10.0.0.0')`.
fn address_literals(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let is_type = matches!(token(tokens, at), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("ipaddress"));
        if is_type
            && let Some(value) = next(tokens, at + 1)
            && let Some(text @ Token::SingleQuotedString(_)) = token(tokens, value).cloned()
        {
            let call =
                vec![Token::make_word("ip_address", None), Token::LParen, text, Token::RParen];
            replace(tokens, at, value + 1, call);
        }
        at += 1;
    }
}

/// `CAST(… AS ARRAY(VARCHAR))` becomes `CAST(… AS ARRAY<VARCHAR>)`, and `ROW(a VARCHAR)`
/// there `STRUCT<a VARCHAR>`.
fn nested_types(tokens: &mut [TokenWithSpan]) {
    let mut at = 0;
    let mut previous = None;
    // Whether we are inside a type, and so `ARRAY(` begins one.
    let mut type_ends = 0;
    while at < tokens.len() {
        let is_row = is_keyword(token(tokens, at), Keyword::ROW);
        let is_array = is_keyword(token(tokens, at), Keyword::ARRAY);
        let in_type =
            previous.is_some_and(|at| is_keyword(token(tokens, at), Keyword::AS)) || at < type_ends;
        if (is_array || is_row)
            && in_type
            && let Some(open) = next(tokens, at + 1)
            && matches!(token(tokens, open), Some(Token::LParen))
            && let Some(close) = matching(tokens, open)
        {
            type_ends = type_ends.max(close);
            if is_row && let Some(token) = tokens.get_mut(at) {
                token.token = Token::make_keyword("STRUCT");
            }
            for (place, bracket) in [(open, Token::Lt), (close, Token::Gt)] {
                if let Some(token) = tokens.get_mut(place) {
                    token.token = bracket;
                }
            }
        }
        if !matches!(token(tokens, at), Some(Token::Whitespace(_))) {
            previous = Some(at);
        }
        at += 1;
    }
}

fn matching(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in open..tokens.len() {
        match token(tokens, at)? {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// `IS DISTINCT FROM` becomes an operator that nobody writes (`rewrite::operators` reads it), since
/// DataFusion's parser takes all that follows for its right side: `a IS DISTINCT FROM b AND c`.
fn distinctions(tokens: &mut Vec<TokenWithSpan>) {
    let words = [Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
    let negated = [Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
    for at in 0..tokens.len() {
        if let Some(end) = follow(tokens, at, &words) {
            replace(tokens, at, end, vec![Token::ExclamationMarkTildeAsterisk]);
        } else if let Some(end) = follow(tokens, at, &negated) {
            replace(tokens, at, end, vec![Token::Spaceship]);
        }
    }
}

/// The end of these words, one after the other.
fn follow(tokens: &[TokenWithSpan], at: usize, words: &[Keyword]) -> Option<usize> {
    let mut end = at;
    for (index, word) in words.iter().enumerate() {
        let here = if index == 0 { at } else { next(tokens, end)? };
        if !is_keyword(token(tokens, here), *word) {
            return None;
        }
        end = here + 1;
    }
    Some(end)
}

/// `VALUES 1, 2` becomes `VALUES (1), (2)`.
fn single_values(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let is_values = is_keyword(token(tokens, at), Keyword::VALUES);
        at += 1;
        let Some(mut from) = next(tokens, at).filter(|_| is_values) else { continue };
        // A list of rows, or a column of that name.
        if matches!(token(tokens, from), Some(Token::LParen)) || begins_no_value(tokens, from) {
            continue;
        }
        loop {
            let end = value_end(tokens, from);
            let is_last = !matches!(token(tokens, end), Some(Token::Comma));
            replace(tokens, end, end, vec![Token::RParen]);
            replace(tokens, from, from, vec![Token::LParen]);
            at = end + 2;
            match next(tokens, at + 1) {
                Some(following) if !is_last => from = following,
                _ => break,
            }
        }
    }
}

fn begins_no_value(tokens: &[TokenWithSpan], at: usize) -> bool {
    match token(tokens, at) {
        Some(Token::Word(word)) => !matches!(
            word.keyword,
            Keyword::NULL
                | Keyword::TRUE
                | Keyword::FALSE
                | Keyword::DATE
                | Keyword::TIMESTAMP
                | Keyword::INTERVAL
                | Keyword::CAST
                | Keyword::ARRAY
                | Keyword::ROW
        ),
        Some(Token::Number(..) | Token::SingleQuotedString(_) | Token::Minus) => false,
        _ => true,
    }
}

/// Where a value ends: at a comma, or where what is around the values goes on.
fn value_end(tokens: &[TokenWithSpan], from: usize) -> usize {
    let mut depth = 0_usize;
    for at in from..tokens.len() {
        match token(tokens, at) {
            Some(Token::LParen | Token::LBracket) => depth += 1,
            Some(Token::RParen | Token::RBracket) if depth > 0 => depth -= 1,
            Some(Token::RParen | Token::Comma | Token::SemiColon | Token::EOF) if depth == 0 => {
                return at;
            }
            Some(Token::Word(word))
                if depth == 0
                    && matches!(
                        word.keyword,
                        Keyword::ORDER | Keyword::LIMIT | Keyword::UNION | Keyword::OFFSET
                    ) =>
            {
                return at;
            }
            _ => {}
        }
    }
    tokens.len()
}
