//! Days and dates as `java.util.GregorianCalendar` counts them: Julian before 15 October 1582,
//! Gregorian from then on. In UTC, where the JVM would take its default time zone.

pub(crate) const DAY_MS: i64 = 86_400_000;

/// The first day of the Gregorian calendar, 1582-10-15, counted from 1970-01-01.
const CUTOVER_DAY: i64 = -141_427;
const CUTOVER_YEAR: i64 = 1582;

/// Year (0 is 1 BC), month from 1, day from 1.
pub(crate) type Date = (i64, i64, i64);

/// The day since the epoch. Month and day may lie outside of their ranges.
pub(crate) fn day(year: i64, month: i64, day: i64) -> i64 {
    let year_of_month = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    let gregorian = first_of_month(year_of_month, month, true) + day - 1;
    let julian = first_of_month(year_of_month, month, false) + day - 1;
    let is_gregorian = match year_of_month {
        CUTOVER_YEAR => gregorian >= CUTOVER_DAY || julian >= CUTOVER_DAY,
        year => year > CUTOVER_YEAR,
    };
    if is_gregorian { gregorian } else { julian }
}

pub(crate) fn date(day: i64) -> Date {
    let gregorian = day >= CUTOVER_DAY;
    // Days since 0000-03-01, so that the leap day ends the year.
    let from_march = day - first_of_month(0, 3, gregorian);
    let (cycle_days, cycle_years) = if gregorian { (146_097, 400) } else { (1_461, 4) };
    let cycle = from_march.div_euclid(cycle_days);
    let in_cycle = from_march.rem_euclid(cycle_days);
    let leap_days = if gregorian {
        in_cycle / 1_460 - in_cycle / 36_524 + in_cycle / 146_096
    } else {
        in_cycle / 1_460
    };
    let year_of_cycle = (in_cycle - leap_days) / 365;
    let centuries = if gregorian { year_of_cycle / 100 } else { 0 };
    let in_year = in_cycle - (365 * year_of_cycle + year_of_cycle / 4 - centuries);
    let month_from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (cycle * cycle_years + year_of_cycle + i64::from(month <= 2), month, day)
}

fn first_of_month(year: i64, month: i64, gregorian: bool) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4)
        + if gregorian { year.div_euclid(400) - year.div_euclid(100) } else { -2 };
    // 1970-01-01 is day 719,468 from 0000-03-01 Gregorian, which is 0000-03-03 Julian.
    365 * year + leap_days + (153 * month_from_march + 2) / 5 - 719_468
}

/// 0 is Sunday.
pub(crate) fn weekday(day: i64) -> usize {
    (day + 4).rem_euclid(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_its_date() {
        assert_eq!(day(1970, 1, 1), 0);
        assert_eq!(date(CUTOVER_DAY), (1582, 10, 15));
        assert_eq!(date(CUTOVER_DAY - 1), (1582, 10, 4));
        assert_eq!(day(2024, 13, 45), day(2025, 2, 14));
        assert_eq!(weekday(day(2024, 2, 29)), 4);
        for at in (-1_000_000..1_000_000).step_by(13) {
            let (year, month, of_month) = date(at);
            assert_eq!(day(year, month, of_month), at, "{year}-{month}-{of_month}");
        }
    }
}
