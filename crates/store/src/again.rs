//! Asking again beside a question that stays unanswered.
//!
//! When a store was away without a word (packets dropped, a host gone), requests
//! of that time are never answered, though it is back: their connections know
//! nothing of it. So after a while the same is asked anew on another connection,
//! and whichever answer comes first counts. The first question stays open as long
//! as its own time-out lets it, so that a store that is only slow is heard too.
//!
//! Creates may be asked twice because names here hold the same bytes for ever: a
//! second one that meets the first is a create whose outcome has to be read back,
//! which every caller does anyway.

use std::time::Duration;

/// How long a small request may go unanswered.
const PATIENCE: Duration = Duration::from_secs(4);

/// A larger one may take longer by its bytes at this rate.
const BYTES_PER_SECOND: u64 = 1024 * 1024;

/// The first answer to `ask`, about an object of this size.
pub(crate) async fn ask_again<T, F>(bytes: usize, ask: impl Fn() -> F) -> T
where
    F: Future<Output = T>,
{
    let patience = PATIENCE + Duration::from_secs(bytes as u64 / BYTES_PER_SECOND);
    let first = ask();
    tokio::pin!(first);
    if let Ok(answer) = tokio::time::timeout(patience, &mut first).await {
        return answer;
    }
    loop {
        let next = tokio::time::timeout(patience, ask());
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            // One that is given up may land all the same; so may its successor.
            answer = next => if let Ok(answer) = answer { return answer },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_question_is_asked_again_and_the_first_stays_open() {
        for (answers_after, answered, took) in [
            // The store is back after ten seconds and answers at once from then on.
            (vec![u64::MAX, u64::MAX, 0], 2, 8),
            (vec![1], 0, 1),
            // It needs eleven seconds for everything.
            (vec![11, 11, 11], 0, 11),
        ] {
            let asked = Cell::new(0);
            let began = tokio::time::Instant::now();
            let answer = ask_again(100, || {
                let number = asked.replace(asked.get() + 1);
                let after = answers_after.get(number).copied().unwrap_or(u64::MAX);
                async move {
                    match after {
                        u64::MAX => std::future::pending().await,
                        after => tokio::time::sleep(Duration::from_secs(after)).await,
                    }
                    number
                }
            });
            assert_eq!(answer.await, answered);
            assert_eq!(began.elapsed().as_secs(), took);
        }
    }
}
