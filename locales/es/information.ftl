# Páginas que dicen a todos cómo se hacen aquí las cosas.
assistance-link = Ayuda en su idioma
assistance-title = Ayuda en su idioma
assistance-intro = Puede tener un intérprete, y documentos en su idioma. La ayuda para personas con discapacidad, como letra grande o lengua de señas, también es gratuita. Pregunte a su equipo de atención o en nuestra mesa de ayuda.
assistance-origin = Las frases en otros idiomas vienen de modelos del Departamento de Salud y Servicios Humanos de los Estados Unidos.
translation-unreviewed = Ningún traductor cualificado ha revisado todavía esta traducción. Donde no sea clara, vale el texto en inglés. También puede preguntarnos.

rep-link = Para un niño o alguien a quien usted cuida
rep-title = El expediente de un niño o de alguien a quien usted cuida
rep-age = Puede registrarse en línea si tiene 18 años o más. Si es menor, esta página dice qué puede hacer.
rep-own = Cada persona tiene su propia cuenta. No use la cuenta de otra persona ni comparta la suya. Guardamos un registro de quién miró qué.
rep-how-title = Cómo obtener acceso
rep-how-ask = Pregunte en la clínica durante una visita. Lleve una identificación y papeles que muestren qué es usted de la persona: padre o madre, tutor, alguien a quien eligió.
rep-how-agree = Si la persona tiene 18 años o más y puede decidir, tiene que estar de acuerdo.
rep-how-sign-in = Conectamos el expediente con su propia cuenta. Inicie sesión como usted mismo. Cuando una aplicación pregunte, elija qué expediente puede leer.
rep-levels-title = Lo que puede ver
rep-level-full = Todo el expediente, menos la atención que la ley mantiene privada.
rep-level-limited = O visitas, vacunas y facturas.
rep-level-billing = O facturas y seguro.
rep-levels-which = La clínica le dice cuál. Si el nivel lo permite, puede escribir mensajes por la persona.
rep-young-title = Si tiene menos de 18 años
rep-young-account = Puede tener su propia cuenta. Pida un código en una visita y regístrese con él.
rep-young-address = Use un correo que solo lea usted. No aceptamos el correo de un padre, una madre o un tutor, porque les llegarían las cartas sobre su cuenta.
rep-young-private = En algunos casos la ley mantiene privada su atención. Entonces quienes actúan por usted no la ven. Pregunte a su equipo de atención.
rep-end-title = Cuándo termina
rep-end = El acceso termina cuando pasa el tiempo fijado o cuando la clínica lo termina. Las aplicaciones que usted conectó al expediente terminan con él, de inmediato.
