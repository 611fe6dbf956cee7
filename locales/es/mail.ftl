# Cartas. Sus únicas variables son las palabras del hospital, un enlace, cuánto tiempo funciona y un número de aplicaciones: una prueba lo vigila.
mail-frame = { $words }

    { $brand }
    { $help }

    Este mensaje lo envió una máquina. Nadie lee las respuestas.
mail-confirm-subject = { $brand }: ¿es este su correo electrónico?
mail-confirm-words = Alguien quiere usar este correo electrónico para su cuenta en { $brand }. Si fue usted, abra este enlace en las próximas { $hours } horas:

    { $link }

    Si no fue usted, no haga nada.
mail-reset-subject = { $brand }: su contraseña nueva
mail-reset-words = Alguien pidió una contraseña nueva para su cuenta en { $brand }. Si fue usted, abra este enlace en los próximos { $minutes } minutos:

    { $link }

    Si no fue usted, no haga nada. Su contraseña sigue igual. Nunca le pedimos su contraseña por teléfono ni por correo.
mail-activated-subject = { $brand }: su cuenta está lista
mail-activated-words = Se creó una cuenta para usted en { $brand } con su código de activación. Si no fue usted, avísenos de inmediato.
mail-password-subject = { $brand }: su contraseña se cambió
mail-password-words = La contraseña de su cuenta en { $brand } se cambió y se cerró la sesión en los demás navegadores. Si no fue usted, avísenos de inmediato.
mail-address-subject = { $brand }: su correo electrónico se cambió
mail-address-words = Su cuenta en { $brand } ya no usa este correo electrónico. Si no fue usted, avísenos de inmediato.
mail-sign-in-subject = { $brand }: nuevo inicio de sesión
mail-sign-in-words = Alguien inició sesión en su cuenta en { $brand } con un dispositivo o en un lugar que no se había usado antes. Si fue usted, no haga nada. Si no, cambie su contraseña y avísenos de inmediato.
mail-factors-subject = { $brand }: cambió la forma en que usted entra
mail-factors-words = Se añadió o se quitó una aplicación de autenticación, una llave de acceso o códigos en papel de su cuenta en { $brand }. Mire en Ajustes, «Cómo entra usted». Si no fue usted, cambie su contraseña, quite lo que no es suyo y avísenos de inmediato.
mail-code-used-subject = { $brand }: se usó un código en papel
mail-code-used-words = Alguien entró en su cuenta en { $brand } con uno de sus códigos en papel. Si fue usted, no haga nada. Si no, cambie su contraseña, cree códigos nuevos y avísenos de inmediato.
mail-apps-subject = { $brand }: sus aplicaciones conectadas
mail-apps-words = { $apps ->
        [one] Una aplicación puede leer su expediente en { $brand } cuando usted no está.
       *[other] { $apps } aplicaciones pueden leer su expediente en { $brand } cuando usted no está.
    } Usted lo permitió. Aquí ve cuáles son y puede detenerlas:

    { $link }

    Escribimos esto una vez cada tres meses. Puede apagarlo en Ajustes, «Cartas».
