problem-reference = Si nos pide ayuda, diga: código <strong>{ $code }</strong>, referencia <strong>{ $reference }</strong>.
problem-trace = (Código { $code }, referencia { $reference })
problem-developer = Para quien desarrolla la aplicación
problem-link = Este enlace no está bien configurado
problem-link-words = La aplicación que le envió aquí cometió un error. No se compartió nada con ella. Avise a quienes hacen la aplicación.
problem-gone = Esta página ya no es válida
problem-gone-words = Tiene diez minutos para conectar una aplicación y cada enlace funciona una sola vez. No se compartió nada. Vuelva a la aplicación y empiece de nuevo.
problem-foreign = No pudimos aceptar este formulario
problem-foreign-words = No vino de esta página en este navegador. No se cambió nada. Vuelva atrás, cargue la página otra vez e inténtelo de nuevo.
problem-cookie = Active las cookies para iniciar sesión
problem-cookie-words = Su navegador no guarda cookies de este sitio, así que no podemos mantener su sesión abierta. Active las cookies e inténtelo de nuevo.
problem-kiosk = No en esta computadora
problem-kiosk-words = Otras personas también usan esta computadora, así que aquí no puede guardar archivos ni agregar una llave de acceso. Hágalo en su propio teléfono o computadora. No se cambió nada.
problem-busy = Demasiadas solicitudes a la vez
problem-busy-words = Llegaron muchas solicitudes desde su red en poco tiempo. No se compartió nada. Vuelva a la aplicación e inténtelo de nuevo en un minuto.
problem-other-account = La sesión abierta es de otra persona
problem-other-account-words = Esta solicitud se empezó con otra cuenta. No se compartió nada. Vuelva a la aplicación y empiece de nuevo.
problem-ours = No podemos hacerlo en este momento
problem-ours-words = Algo no funciona de nuestro lado. No se cambió nada. Inténtelo de nuevo en unos minutos.
problem-no-match = No pudimos abrirle un expediente
problem-no-match-words = No encontramos un solo expediente que sea con seguridad el suyo. No se compartió nada. Pídanos ayuda, o pregunte en su próxima visita: con una identificación, en la recepción pueden crearle la cuenta.
problem-provider = El otro servicio no responde
problem-provider-words = No pudimos comunicarnos con él, o no entendimos su respuesta. No se cambió nada. Inténtelo de nuevo en unos minutos, o inicie sesión con su nombre de usuario y contraseña.
problem-upstream = No se inició la sesión
problem-upstream-words = El inicio de sesión con el otro servicio no funcionó o tardó demasiado. No se cambió nada. Vuelva atrás e inténtelo de nuevo.
problem-not-fresh = Tiene que iniciar sesión allí de nuevo
problem-not-fresh-words = La aplicación necesita que haya iniciado sesión hace un momento, y el otro servicio no lo confirmó. No se compartió nada. Cierre la sesión allí e inténtelo de nuevo, o inicie sesión con su nombre de usuario y contraseña.

leave-title = Volver a la aplicación
leave-words = No se compartió nada.
leave-no-record = No hay un expediente para conectar
leave-no-record-words = Su cuenta no está vinculada a ningún expediente, o dejó de estarlo, así que ninguna aplicación puede leer uno. Pídanos ayuda. No se compartió nada.
leave-kiosk = Aquí no se pueden conectar aplicaciones
leave-kiosk-words = Otras personas también usan esta computadora. Conecte la aplicación en su propio teléfono o computadora. No se compartió nada.
leave-link = Volver a “{ $app }”
problem-wait = Demasiados intentos
problem-wait-words = { $seconds ->
    [one] Espere 1 segundo e inténtelo de nuevo.
   *[other] Espere { $seconds } segundos e inténtelo de nuevo.
}
problem-half-gone = Entre de nuevo
problem-half-gone-words = Tiene diez minutos entre su contraseña y el paso siguiente. No se cambió nada. Entre de nuevo.
problem-passkey = No pudimos dejarle entrar con esta llave de acceso
problem-passkey-words = Ya no se conoce aquí, o la solicitud era demasiado antigua. Vuelva atrás e inténtelo de nuevo, o entre con su contraseña.
