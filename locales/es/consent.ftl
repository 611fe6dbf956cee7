# Whose record, what an app may see, for how long.
new-window = (se abre en otra ventana)

record-title = ¿De quién es el expediente?
record-intro = <strong>{ $app }</strong> se puede conectar con un expediente a la vez.
record-legend = La aplicación puede leer el expediente de
record-own = { $name } (usted)
record-other = { $name } ({ $relation ->
    [parent] usted es su padre o madre
    [guardian] usted tiene la tutela
    [attorney] usted decide por poder legal
    [partner] usted es su cónyuge o pareja
    [child] usted es su hijo o hija
    [grandparent] usted es su abuelo o abuela
    [sibling] usted es su hermano o hermana
   *[other] usted actúa por esta persona
 })
record-continue = Continuar
record-choose = Elija de quién es el expediente que la aplicación puede leer.

# Dónde está quien conecta una aplicación. Quien ya inició sesión tiene hecho el primer paso.
step-sign-in = Paso 1 de 3: iniciar sesión
step-choose = Paso 2 de 3: elegir qué compartir
step-back = Paso 3 de 3: volver a la aplicación

consent-title = Conectar “{ $app }”
consent-own = <strong>{ $app }</strong> pide leer <strong>su</strong> expediente ({ $record }).
consent-proxy = Usted le da a <strong>{ $app }</strong> acceso al expediente de <strong>{ $record }</strong>, { $relation ->
    [parent] como padre o madre
    [guardian] como quien tiene la tutela
    [attorney] por poder legal
    [partner] como cónyuge o pareja
    [child] como hijo o hija
    [grandparent] como abuelo o abuela
    [sibling] como hermano o hermana
   *[other] por quien usted actúa
 }. El acceso de la aplicación termina cuando termina el suyo a este expediente.
consent-staff = <strong>{ $app }</strong> pide trabajar con los expedientes que usted puede abrir.
consent-launched = La abrió para <strong>{ $patient }</strong>.
consent-choose = Elegir otro expediente
consent-since = Ya permitió esta aplicación el { $day }. Sus respuestas de entonces ya están marcadas.
consent-changes = Qué cambió en esta aplicación desde entonces
consent-change-maker = El fabricante era { $before } y ahora es { $now }.
consent-change-policy = Tiene una nueva política de privacidad.
consent-change-answer = { $question } La respuesta era “{ $before }” y ahora es “{ $now }”.
consent-about = Sobre esta aplicación
consent-address = Su respuesta va a { $address }.
consent-this-device = una aplicación de este dispositivo
consent-what = Lo que puede ver
consent-news = Lo nuevo esta vez
consent-known = Lo que la aplicación ya pidió antes
consent-untick = Desmarque lo que no quiere compartir.
consent-none = Desmarcar todo
consent-all = Marcar todo
consent-skip = Ir a su respuesta
consent-account = Su cuenta
consent-identity = Quién inició sesión
consent-identity-more = Para que la aplicación lo reconozca.
consent-needed = (necesario)
consent-parts = Compartir solo una parte
consent-parts-how = Desmarque “{ $what }” arriba, y marque lo que quiere compartir en su lugar.
consent-part-of = Parte de: { $whole }.
consent-only-codes = Solo una parte de estos, que la aplicación nombra con códigos.
consent-codes = Mostrar los códigos
consent-others = Otros registros
consent-everything = Todo lo que usted puede ver
consent-everything-more = Todo tipo de registro que su trabajo le permite abrir.
consent-write = Agregar y cambiar: { $what }
consent-write-more = La aplicación puede escribir, no solo leer.
consent-long = Por cuánto tiempo
consent-long-no = Solo esta vez
consent-long-no-more = { $minutes ->
    [60] Por 1 hora.
   *[other] Por { $minutes } minutos.
}
consent-long-year = Hasta un año
consent-long-year-more = La aplicación sigue leyendo cuando usted no está. Termina en un año, o cuando la aplicación no se usa por { $days } días.
consent-long-yes = Hasta que yo lo apague
consent-long-yes-more = La aplicación sigue leyendo cuando usted no está. Termina cuando la aplicación no se usa por { $days } días.
consent-short = { $minutes ->
    [60] La aplicación puede leer por 1 hora.
   *[other] La aplicación puede leer por { $minutes } minutos.
}
consent-control = Una vez que la aplicación tiene su información, { $brand } no puede controlarla. Es posible que HIPAA no la proteja allí.
consent-withheld = Las aplicaciones reciben lo que usted puede ver aquí. Algunos tipos de registros no se comparten en línea.
consent-how = Cómo funciona
consent-deny = No permitir
consent-allow = Permitir
consent-tick-one = Marque al menos una cosa que la aplicación pueda ver, o elija “No permitir”.
consent-other-record = Se eligió otro expediente en otra ventana. Mire de quién es ahora el expediente, y responda de nuevo.

fact-maker = Hecha por
fact-unknown = no se dijo
fact-website = Sitio web
fact-checked = comprobado
fact-unchecked = no comprobado por nosotros
fact-policy = Política de privacidad
fact-policy-link = Léala
fact-no-policy = no dieron ninguna
fact-nothing = El fabricante no nos ha dicho nada de esta aplicación y no ha respondido nuestras preguntas.
fact-no-answers = El fabricante no ha respondido nuestras preguntas.
fact-sells-data = ¿Vende sus datos?
fact-shares-data = ¿Da sus datos a otras empresas?
fact-keeps-data = ¿Guarda sus datos después de que usted se va?
fact-deletes-data = ¿Puede usted pedir que borren sus datos?
fact-tells-changes = ¿Le avisa cuando cambia su política de privacidad?
fact-yes = Sí
fact-no = No
fact-unanswered = Sin respuesta

switch-title = ¿Quién responde?
switch-launched = Usted inició sesión como { $name }. Esta aplicación se abrió para otra persona, y usted no puede responder por ella.
switch-hint = Usted inició sesión como { $name }. La aplicación esperaba a otra persona.
switch-stay = Continuar como { $name }
switch-other = Iniciar sesión como otra persona

leave-done = Puede volver a la aplicación
leave-done-words = Su respuesta va en camino a la aplicación. Si no pasa nada, use el enlace.
leave-late = Sus diez minutos terminaron
leave-late-words = Tenía diez minutos para responder, y no se compartió nada. Vuelva a la aplicación, y empiece de nuevo si quiere.
leave-chart = Vuelva al expediente
leave-chart-words = Una aplicación abierta desde un expediente tiene cinco minutos y funciona una vez. Vuelva al expediente y ábrala de nuevo. No se compartió nada.
