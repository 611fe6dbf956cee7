login-title = Iniciar sesión
login-app = para conectar <strong>{ $app }</strong> con un expediente.
login-again = Ya inició sesión. Antes de conectar esta aplicación, escriba su contraseña otra vez.
login-username = Nombre de usuario
login-password = Contraseña
login-idle = Su sesión se cerrará después de { $minutes } minutos sin uso.
login-kiosk = Otras personas también usan esta computadora. Cuando acabe, elija “Terminar” en la parte de arriba de la página.
login-wrong = El nombre de usuario o la contraseña no son correctos.
login-blocked = Demasiados intentos fallidos con este nombre de usuario. Inicie sesión en un dispositivo o lugar donde ya lo haya hecho antes, o pídanos una contraseña nueva.
login-wait = { $seconds ->
    [one] Demasiados intentos. Espere 1 segundo e inténtelo de nuevo.
   *[other] Demasiados intentos. Espere { $seconds } segundos e inténtelo de nuevo.
}
login-somebody-else = Esta aplicación se abrió para otra persona. Inicie sesión como la persona que la abrió, o ábrala usted de nuevo.
login-or = O inicie sesión de otra manera
login-with = Iniciar sesión con { $provider }

signed-out-title = Sesión cerrada
signed-out-heading = Su sesión está cerrada
signed-out-shared = En una computadora compartida, cierre también esta ventana.
signed-out-kiosk = Aquí no queda nada de su visita. La próxima persona puede iniciar sesión.
signed-out-again = Iniciar sesión de nuevo

end-session-title = ¿Cerrar sesión?
end-session-ask = ¿Quiere cerrar su sesión en { $brand }?
end-session-app = <strong>{ $app }</strong> pregunta si también quiere cerrar su sesión en { $brand }.
end-session-apps = Las aplicaciones conservan el acceso que usted les dio.
end-session-stay = Seguir con la sesión abierta
