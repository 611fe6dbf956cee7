# Crear una cuenta y cuidarla.
button-continue = Continuar
button-save = Guardar

login-forgot = ¿Olvidó su contraseña o su nombre de usuario?
login-first = ¿Es su primera vez?
login-activate = Use su código de activación
login-reset = Su contraseña se cambió. Inicie sesión con la nueva.
signed-out-idle = La página no se usó durante { $minutes } minutos, así que cerramos su sesión para proteger la privacidad de su expediente.

activate-title = Active su cuenta
activate-words = Use el código que está en los papeles de su visita para crear su cuenta.
activate-code = Código de los papeles de su visita
activate-code-detail = 13 letras y números. No importan los guiones, los espacios ni las mayúsculas.
activate-birth = Fecha de nacimiento
activate-month = Mes (1 a 12)
activate-day = Día
activate-year = Año (4 números)
activate-none = ¿No tiene código o no funciona?
activate-none-online = Demuestre quién es en línea con { $provider }.
activate-none-visit = Pida un código nuevo en su próxima visita.
activate-none-verify = O demuéstrenos quién es con una identificación con foto. “¿Necesita ayuda?”, al final de esta página, dice cómo comunicarse con nosotros.
activate-rules = Un código funciona una sola vez, durante 60 días. Solo sirve el más nuevo. No podemos dar códigos por teléfono.
activate-slip = Este código no está completo o tiene un carácter equivocado. Mire sus papeles y escríbalo otra vez.
activate-birth-date = Esta no es una fecha de nacimiento completa. Escriba el mes, el día y el año con números.
activate-wrong = El código y la fecha de nacimiento no corresponden, o el código se probó demasiadas veces. Revise los dos. Si sigue sin funcionar, pida un código nuevo en su próxima visita o demuéstrenos quién es.
activate-used = Este código ya se usó. Inicie sesión o pida una contraseña nueva.
activate-expired = Este código es demasiado viejo o usted recibió uno más nuevo. Pida un código nuevo en su próxima visita o demuéstrenos quién es.
activate-has-account = Usted ya tiene una cuenta. Inicie sesión o pida una contraseña nueva.
activate-account-title = Elija cómo iniciar sesión
activate-account-name = Le damos la bienvenida, { $name }.
activate-account-button = Crear mi cuenta

# Para la impresora de los papeles de la visita.
activation-print = Vea su expediente en línea: vaya a { $page } y escriba el código { $code } y su fecha de nacimiento. El código funciona una sola vez, hasta el { $day }. No lo comparta con nadie.

username-detail = El nombre que quiera. Que no sea su correo electrónico ni un número de su expediente.
username-taken = Alguien ya tiene este nombre de usuario. Elija otro.
username-address = Su correo electrónico no puede ser su nombre de usuario. Elija otro.
username-identifier = Otras personas pueden conocer este número. Elija otro nombre de usuario.
username-wrong = Un nombre de usuario tiene de 2 a 64 caracteres.

password-show = Mostrar
password-current = Contraseña que tiene ahora
password-new = Contraseña nueva
password-detail = Al menos { $shortest } caracteres. Una frase corta es buena. Puede pegarla desde un gestor de contraseñas.
password-repeated = Contraseña nueva otra vez
password-short = La contraseña nueva es demasiado corta. Necesita al menos { $shortest } caracteres.
password-long = La contraseña nueva es demasiado larga. Puede tener 256 caracteres.
password-guessable = Esta contraseña es fácil de adivinar. Elija otra, por ejemplo unas palabras que no tengan que ver entre sí.
password-differ = Las dos contraseñas nuevas no son iguales. Escríbalas otra vez.
password-same = La contraseña nueva es la que ya tiene. Elija otra.
password-current-wrong = La contraseña que tiene ahora no es correcta.
password-must = Otra persona puso la contraseña que tiene ahora. Elija una propia antes de seguir.
password-effect = Su sesión sigue abierta aquí. En los demás navegadores se cierra. Las aplicaciones conservan el acceso que usted les dio.

forgot-title = Obtenga una contraseña nueva
forgot-words = Enviamos un enlace al correo electrónico de su cuenta.
forgot-name = Nombre de usuario o correo electrónico
forgot-button = Enviar el enlace
forgot-asked = Si hay una cuenta con un correo electrónico, acabamos de enviarle un mensaje. El enlace funciona durante { $minutes } minutos.
forgot-nothing = ¿No llegó nada? Mire en la carpeta de correo no deseado. Después de cambiar su correo electrónico, no enviamos enlaces durante un día.
forgot-no-mail = ¿Su cuenta no tiene correo electrónico? Pídanos ayuda o pida un código nuevo en su próxima visita.

reset-title = Elija una contraseña nueva
reset-username = Su nombre de usuario es <strong>{ $username }</strong>.
reset-effect = Se cerrará su sesión en todas partes. Las aplicaciones conservan el acceso que usted les dio.

link-gone-title = Este enlace ya no funciona
link-gone-words = Cada enlace funciona una sola vez y por poco tiempo. No se cambió nada.
link-gone-again = Pedir un enlace nuevo

settings-title = Ajustes
settings-back = Volver a los ajustes
settings-username = Su nombre de usuario es <strong>{ $username }</strong>.
settings-password = Contraseña
settings-password-done = Su contraseña nueva está guardada.
settings-email = Correo electrónico
settings-email-none = Todavía no hay un correo electrónico.
settings-letters = Cartas
settings-letters-detail = Elija qué correos quiere recibir.
settings-sessions = Dónde tiene la sesión abierta
settings-security-detail = Aplicación de autenticación, llaves de acceso, códigos de recuperación
settings-sessions-detail = Vea todos los navegadores y cierre sus sesiones.
settings-apps = Aplicaciones conectadas
settings-apps-detail = Vea qué pueden leer las aplicaciones y quíteles el acceso.
settings-activated = Su cuenta está lista y su sesión está abierta.
settings-activated-mail = Su cuenta está lista y su sesión está abierta. Le enviamos un mensaje: abra el enlace para que sepamos que el correo es suyo.

letters-to = Se envían a { $address }.
letters-no-address = No tenemos un correo electrónico suyo, así que no enviamos ninguna.
letters-always = Cuando cambia su contraseña o la forma en que usted entra, siempre le escribimos: así su cuenta está segura. Ninguna carta lleva información de salud.
letters-digest = Una vez cada tres meses: cuántas aplicaciones pueden leer su expediente
letters-digest-more = Solo si conectó una aplicación que puede leer cuando usted no está.
letters-preview = La carta, palabra por palabra
letters-saved = Guardado.

email-guardian = Este correo es de alguien que actúa por usted, como su padre o su madre. Las cartas sobre su cuenta les llegarían. Use un correo que solo lea usted, o déjelo vacío.
email-shared-minor = Otra cuenta usa este correo, y las dos no pueden compartirlo. Use un correo que solo lea usted.
email-optional = Correo electrónico (puede dejarlo en blanco)
email-detail = Para darle una contraseña nueva si la olvida y para avisos sobre su cuenta. Nunca enviamos información de salud por correo electrónico.
email-wrong = Esto no es un correo electrónico. Escríbalo como nombre@example.com.
email-current = Su correo electrónico es <strong>{ $address }</strong>.
email-use = Lo usamos para enviarle un enlace si olvida su contraseña y avisos sobre su cuenta. Nunca enviamos información de salud por correo electrónico.
email-new = Correo electrónico nuevo
email-button = Enviar un mensaje a este correo
email-effect = El correo nuevo vale cuando usted abre el enlace del mensaje. También avisamos al correo anterior. Después no enviamos enlaces para una contraseña nueva durante 24 horas.
email-sent = Enviamos un mensaje al correo nuevo. Abra el enlace en las próximas 24 horas.
email-removed = Su correo electrónico se quitó.
email-none-sent = Este hospital no envía correos electrónicos desde aquí.
email-remove-title = Quitar el correo electrónico
email-remove-effect = Entonces no podremos enviarle un enlace si olvida su contraseña.
email-remove = Quitarlo

confirm-title = ¿Es este su correo electrónico?
confirm-words = Alguien quiere usar <strong>{ $address }</strong> para su cuenta. Si fue usted, presione el botón. Si no, cierre esta página.
confirm-shared = Otra cuenta también usa este correo. Quien lea este buzón puede pedir una contraseña nueva para las dos. Es más seguro que cada persona tenga su propio correo.
confirm-anyway = Sí, usarlo de todos modos
confirm-button = Sí, usar este correo
confirm-done = Listo. Desde ahora usamos { $address }.

sessions-words = Si no reconoce alguno, cierre su sesión y cambie su contraseña.
sessions-unknown = Un navegador
sessions-this = (este)
sessions-since = Sesión iniciada
sessions-seen = Último uso
sessions-end = Cerrar sesión
sessions-end-all = Cerrar todas las demás sesiones
sessions-ended = Sesión cerrada.
ago-moment = hace un momento
ago-minutes = { $minutes ->
    [one] hace 1 minuto
   *[other] hace { $minutes } minutos
}
ago-hours = { $hours ->
    [one] hace 1 hora
   *[other] hace { $hours } horas
}
ago-days = { $days ->
    [one] hace 1 día
   *[other] hace { $days } días
}

idle-title = { $minutes ->
    [one] Queda 1 minuto
   *[other] Quedan { $minutes } minutos
}
idle-words = No ha usado esta página desde hace un rato. Para proteger la privacidad de su expediente, cerraremos su sesión pronto.
resume-title = Le quedó algo sin terminar
resume-words = Cerramos su sesión antes de que enviara esto, para proteger su expediente. Lo guardamos solo para usted, hasta mañana. No guardamos contraseñas ni códigos.
resume-typed = Lo que escribió
resume-send = Enviarlo ahora
resume-drop = Descartarlo

idle-stay = Seguir con la sesión abierta

staff-reset-title = Ayudar a alguien a tener una contraseña nueva
staff-reset-words = Enviamos un enlace al correo que la persona confirmó. Usted no lo ve. Nunca pida una contraseña y nunca diga una. Por teléfono no puede saber quién pregunta, así que el enlace no va a ningún otro lugar.
staff-reset-name = Nombre de usuario o correo electrónico
staff-reset-button = Enviar el enlace
staff-reset-done = Si hay una cuenta con un correo electrónico, un mensaje va en camino. Si la persona no tiene, recibirá un código nuevo en su próxima visita.
