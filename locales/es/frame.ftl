# Alrededor de cada página.
skip-link = Saltar al contenido principal
signed-in-as = Sesión iniciada como { $name }
sign-out = Cerrar sesión
finish = Terminar
help-title = ¿Necesita ayuda?
help-general = Pregunte a nuestro servicio de ayuda, o a su equipo médico en su próxima visita.
help-emergency = En una emergencia, llame al 911.
language-label = Idioma
error-prefix = Error:
