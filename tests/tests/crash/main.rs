//! Processes die and move while events stream: nothing is lost, nothing twice.
//!
//! `ORGTRAIL_SEED` runs another course of events, `ORGTRAIL_KILLS` a longer one.
//! A failure tells its seed.

mod course;

use std::time::Duration;

use crate::course::Course;

const KILLS: u64 = 50;

/// kill -9 of aggregator and agents at random moments, during a stream of events.
#[test]
fn nothing_is_lost_and_nothing_twice_however_often_processes_are_killed() {
    let kills = std::env::var("ORGTRAIL_KILLS").ok().and_then(|kills| kills.parse().ok());
    let mut course = Course::new(1, 3, 20_261_120);
    course.run(|course| {
        for _ in 0..kills.unwrap_or(KILLS) {
            let pause = Duration::from_millis(100 + course.dice.below(1_200));
            course.stream_for(pause)?;
            course.kill_one()?;
        }
        course.stream_for(Duration::from_secs(3))
    });
}

/// Two aggregators on one store: agents spread over both, moved by their
/// configuration and by the death of the one they were at.
#[test]
fn two_aggregators_on_one_store_come_to_the_same_result() {
    let mut course = Course::new(2, 4, 20_261_121);
    course.run(|course| {
        for agent in 0..4 {
            course.move_to(agent, &[agent % 2])?;
        }
        course.stream_for(Duration::from_secs(4))?;
        for round in 0..12 {
            let agent = course.dice.index(4);
            let to = course.dice.index(2);
            course.move_to(agent, &[to, 1 - to])?;
            let pause = Duration::from_millis(300 + course.dice.below(1_000));
            course.stream_for(pause)?;
            if round % 3 == 2 {
                course.kill_aggregator(to)?;
            }
        }
        course.stream_for(Duration::from_secs(3))
    });
}
