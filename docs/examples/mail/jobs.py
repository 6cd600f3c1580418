"""The job function: deliver one message to one recipient, by SMTP."""

import os
import re
import smtplib

from jobq import Dead, Exponential, job

#: Where the mail server listens: host:port.
SERVER = os.environ.get("MAIL_SERVER", "127.0.0.1:8025")


# 9 attempts within about two minutes, so that you see something happen. Mail servers that refuse
# strangers at first want to be asked again after minutes: backoff=["5m", "15m", "1h", "4h"].
@job(queue="mail", retries=8, backoff=Exponential(base=0.5), timeout="1m", result_ttl=0)
def send_email(sender: str, recipient: str, message: bytes) -> None:
    """Deliver a message; what the server refuses for ever goes to the dead letters at once.

    Anything else that goes wrong is raised, so that it is tried again: a recipient that is refused
    for now, a server that is away.
    """
    content = re.sub(rb"\r?\n", b"\r\n", message)  # as SMTP has its lines
    options = [] if content.isascii() else ["BODY=8BITMIME"]
    host, _, port = SERVER.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), local_hostname="localhost", timeout=10) as smtp:
            smtp.sendmail(sender, [recipient], content, options)
    except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
        code, said = reply_of(error)
        if code >= 500:  # the server will say the same tomorrow (RFC 5321, 4.2.1)
            raise Dead(f"{recipient} was refused: {code} {said}") from error
        raise


def reply_of(error: smtplib.SMTPException) -> tuple[int, str]:
    """Return the code and the text with which the server refused."""
    said: bytes | str
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
    else:
        assert isinstance(error, smtplib.SMTPResponseException)
        code, said = error.smtp_code, error.smtp_error
    return code, said.decode(errors="replace") if isinstance(said, bytes) else said
