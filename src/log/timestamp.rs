//! Times as the log, the audit file and the status write them: RFC 3339, in UTC, with microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use super::line::push_digits;

/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;
/// The days of four hundred years, after which the calendar repeats.
const ERA: u64 = 146_097;
/// The last second of the year 9999, in Unix time. Later times are written as this one.
const LAST: u64 = 253_402_300_799;

/// Writes times. It keeps the text of the last second, because many times are in the same one.
#[derive(Debug, Default)]
pub(crate) struct TimestampWriter {
    /// The second in Unix time, and its text; empty before the first.
    second: (u64, Vec<u8>),
}

impl TimestampWriter {
    /// Appends the time now.
    pub(crate) fn push_now(&mut self, bytes: &mut Vec<u8>) {
        self.push(SystemTime::now(), bytes);
    }

    /// Appends a time. One before 1970 is written as the start of that year.
    fn push(&mut self, time: SystemTime, bytes: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs().min(LAST);
        if self.second.0 != second || self.second.1.is_empty() {
            self.second.0 = second;
            self.second.1.clear();
            push_second(second, &mut self.second.1);
        }
        bytes.extend_from_slice(&self.second.1);
        push_digits(u64::from(since.subsec_micros()), 6, bytes);
        bytes.push(b'Z');
    }
}

/// The time now.
pub(crate) fn time_text() -> String {
    let mut text = Vec::with_capacity(32);
    TimestampWriter::default().push_now(&mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends a second of Unix time, up to the point before its fraction.
fn push_second(second: u64, bytes: &mut Vec<u8>) {
    let (year, month, day) = date(second / DAY);
    let of_day = second % DAY;
    for (number, digits, behind) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (of_day / 3600, 2, b':'),
        (of_day / 60 % 60, 2, b':'),
        (of_day % 60, 2, b'.'),
    ] {
        push_digits(number, digits, bytes);
        bytes.push(behind);
    }
}

/// Year, month and day of a day, counted from 1 January 1970.
///
/// The years here begin in March, so that the leap day is the last of its year: then the length of the months before it is a
/// linear function of the month.
fn date(day: u64) -> (u64, u64, u64) {
    // From 1 March 0000.
    let day = day + 719_468;
    let (era, of_era) = (day / ERA, day % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let is_next_year = month >= 10;
    let month = if is_next_year { month - 9 } else { month + 3 };
    (era * 400 + year_of_era + u64::from(is_next_year), month, of_month)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(seconds: u64, micros: u32, expected: &str) {
        let mut text = Vec::new();
        let time = UNIX_EPOCH + Duration::new(seconds, micros * 1000 + 999);
        TimestampWriter::default().push(time, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    /// What `date -u --date=@SECONDS +%FT%T` says.
    #[test]
    fn times_are_those_of_the_calendar() {
        check(0, 0, "1970-01-01T00:00:00.000000Z");
        check(951_782_399, 999_999, "2000-02-28T23:59:59.999999Z");
        check(951_782_400, 1, "2000-02-29T00:00:00.000001Z");
        check(951_868_800, 0, "2000-03-01T00:00:00.000000Z");
        check(1_709_164_800, 120, "2024-02-29T00:00:00.000120Z");
        check(1_769_903_999, 123_456, "2026-01-31T23:59:59.123456Z");
        check(4_107_542_399, 0, "2100-02-28T23:59:59.000000Z");
        check(4_107_542_400, 0, "2100-03-01T00:00:00.000000Z");
        check(LAST, 0, "9999-12-31T23:59:59.000000Z");
        check(LAST + 1, 0, "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn each_day_is_followed_by_the_next() {
        let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..2 * ERA {
            assert_eq!(date(number), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(is_leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            (year, month, day) = match (month, day == length) {
                (_, false) => (year, month, day + 1),
                (12, true) => (year + 1, 1, 1),
                (_, true) => (year, month + 1, 1),
            };
        }
    }

    #[test]
    fn the_second_that_is_kept_is_that_of_the_time() {
        let mut writer = TimestampWriter::default();
        for (millis, expected) in [(900, "00.900000Z"), (950, "00.950000Z"), (1_000, "01.000000Z"), (10, "00.010000Z")]
        {
            let mut text = Vec::new();
            writer.push(UNIX_EPOCH + Duration::from_millis(millis), &mut text);
            assert!(text.ends_with(expected.as_bytes()), "{expected}");
        }
    }
}
