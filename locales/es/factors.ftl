factor-title = Un paso más
factor-code = Código de su aplicación de autenticación
factor-code-hint = Seis dígitos. También puede usar un código de recuperación.
factor-recovery-code = Código de recuperación
factor-recovery-hint = Uno de los códigos que guardó al configurar su llave de acceso. Cada uno sirve una vez.
factor-continue = Continuar
factor-lost = ¿Perdió su dispositivo y sus códigos de recuperación? Pídanos ayuda: podemos empezar de nuevo.
factor-wrong = Este código no es correcto o ya se usó. Espere el siguiente o use un código de recuperación.
factor-blocked = Demasiados códigos incorrectos para esta cuenta. Pídanos ayuda.
factor-password-wrong = La contraseña no es correcta. No se cambió nada.
factor-code-missing = Escriba también un código: su cuenta tiene un segundo paso. No se cambió nada.
factor-first-code-wrong = Este código no es correcto. Compruebe que su dispositivo muestra la hora correcta y escriba el código que muestra ahora.
factor-last = Su cuenta necesita uno de estos para entrar. Agregue otro primero.
factor-removed = Se quitó la aplicación de autenticación.

enrol-title = Configure su segundo paso
enrol-required = Su cuenta necesita algo más que una contraseña. Toma dos minutos, una sola vez.
enrol-app = Usar una aplicación de autenticación
enrol-scan = Escanee esta imagen con una aplicación de autenticación en su teléfono.
enrol-type = O escriba esta clave en la aplicación, por tiempo, con seis dígitos:
enrol-open = Abrirla en una aplicación de este dispositivo
enrol-confirm = La aplicación muestra un código de seis dígitos. Escríbalo aquí.
enrol-code = Código que muestra la aplicación

codes-title = Guarde estos códigos de recuperación
codes-about = Imprímalos o anótelos. Si pierde su dispositivo, cada uno le permite entrar una vez.
codes-once = Los mostramos esta única vez y no guardamos ninguna copia que alguien pueda leer.
codes-kept = Los he guardado. Continuar

security-title = Cómo entra usted
security-required = Su cuenta necesita una aplicación de autenticación o una llave de acceso.
security-password = Su contraseña, para cambiar esto
security-passkey-first = Para cambiar algo aquí, muestre primero que tiene su segundo paso: use ahora su llave de acceso o escriba un código cada vez.
security-app = Aplicación de autenticación
security-app-on = Configurada. Se le pide un código cuando entra con su contraseña.
security-app-off = No configurada. Con ella, nadie entra solo con la contraseña.
security-app-begin = Configurar una aplicación de autenticación
security-app-replace = Usar otra aplicación u otro teléfono
security-app-remove = Quitar la aplicación
security-passkeys = Llaves de acceso
security-codes = Códigos de recuperación
security-codes-left = { $count ->
    [0] No queda ningún código. Cree códigos nuevos.
    [one] Queda 1 código.
   *[other] Quedan { $count } códigos.
}
security-codes-new = Crear diez códigos nuevos

passkey-use = Usar una llave de acceso
passkey-add = Agregar una llave de acceso
passkey-about = Una llave de acceso se guarda en su teléfono, computadora o llave de seguridad, y se abre con su dedo, su cara o un PIN. Reemplaza la contraseña y el código.
passkey-name = Nombre, por ejemplo «Mi teléfono»
passkey-unnamed = Llave de acceso
passkey-added-on = Agregada el { $day }.
passkey-used-on = Usada por última vez el { $day }.
passkey-remove = Quitar
passkey-failed = No funcionó. No se cambió nada. Inténtelo de nuevo o use otra manera.
passkey-not-added = No se pudo agregar la llave de acceso. Inténtelo de nuevo.
passkey-added = Se agregó la llave de acceso.
passkey-removed = Se quitó la llave de acceso. Bórrela también en su dispositivo.
passkey-script = Las llaves de acceso necesitan JavaScript, que está desactivado en este navegador.
passkey-or = o
