date-month = { $month ->
    [1] enero
    [2] febrero
    [3] marzo
    [4] abril
    [5] mayo
    [6] junio
    [7] julio
    [8] agosto
    [9] septiembre
    [10] octubre
    [11] noviembre
   *[12] diciembre
}
date-long = { $day } de { date-month } de { $year }
date-moment = { $day }, { $hour12 }:{ $minute } { $half ->
    [am] a. m.
   *[pm] p. m.
}
duration-days = { $days ->
    [one] 1 día
   *[other] { $days } días
}
duration-hours = { $hours ->
    [one] 1 hora
   *[other] { $hours } horas
}
