date-month = { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
}
date-long = { date-month } { $day }, { $year }
date-moment = { $day }, { $hour12 }:{ $minute } { $half }
duration-days = { $days ->
    [one] 1 day
   *[other] { $days } days
}
duration-hours = { $hours ->
    [one] 1 hour
   *[other] { $hours } hours
}
