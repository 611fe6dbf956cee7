# Letters. Their only variables are the hospital's own words, a link, for how long it works, and a number of apps: a test holds them to it.
mail-frame = { $words }

    { $brand }
    { $help }

    This letter was sent by a machine. Answers to it are not read.
mail-confirm-subject = { $brand }: is this your e-mail address?
mail-confirm-words = Somebody wants to use this e-mail address for their account at { $brand }. If that was you, open this link within { $hours } hours:

    { $link }

    If it was not you, do nothing.
mail-reset-subject = { $brand }: your new password
mail-reset-words = Somebody asked for a new password for your account at { $brand }. If that was you, open this link within { $minutes } minutes:

    { $link }

    If it was not you, do nothing. Your password stays as it is. We never ask for your password by phone or e-mail.
mail-activated-subject = { $brand }: your account is ready
mail-activated-words = An account for you was made at { $brand } with your activation code. If that was not you, tell us right away.
mail-password-subject = { $brand }: your password was changed
mail-password-words = The password of your account at { $brand } was changed, and other browsers were signed out. If that was not you, tell us right away.
mail-address-subject = { $brand }: your e-mail address was changed
mail-address-words = Your account at { $brand } does not use this e-mail address any more. If that was not you, tell us right away.
mail-sign-in-subject = { $brand }: new sign-in
mail-sign-in-words = Somebody signed in to your account at { $brand } on a device or at a place that was not used before. If that was you, do nothing. If not, change your password and tell us right away.
mail-factors-subject = { $brand }: how you sign in was changed
mail-factors-words = An authenticator app, a passkey or codes on paper were added to your account at { $brand }, or taken away. Look under Settings, “How you sign in”. If that was not you, change your password, take away what is not yours, and tell us right away.
mail-code-used-subject = { $brand }: a code on paper was used
mail-code-used-words = Somebody signed in to your account at { $brand } with one of your codes on paper. If that was you, do nothing. If not, change your password, make new codes, and tell us right away.
mail-apps-subject = { $brand }: your connected apps
mail-apps-words = { $apps ->
        [one] One app can read your record at { $brand } while you are away.
       *[other] { $apps } apps can read your record at { $brand } while you are away.
    } You allowed that. Here you see which, and can stop them:

    { $link }

    We write this once in three months. You can turn it off under Settings, “Letters”.
