"""AWS Lambda as moto, a well-known stand-in for AWS, has it, for tests.

    python3 test/http/moto_peer.py LOG

Prints its port.  It checks who asks as AWS does, by the signature and by what
the user may do.  It runs no function: each returns its event.  LOG becomes a
JSON object with the keys of a user who may invoke functions ("id", "secret") and
of one who may not ("other_id", "other_secret").
"""

import json
import logging
import sys
import threading
import urllib.request

import boto3
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
MAY_INVOKE = {"Version": "2012-10-17",
              "Statement": [{"Effect": "Allow", "Action": "lambda:*", "Resource": "*"}]}


def main(log):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    url = "http://127.0.0.1:%d" % port

    def moto(path, body):
        request = urllib.request.Request(url + "/moto-api/" + path, body.encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request):
            pass

    def user(name):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    iam = boto3.client("iam", region_name=REGION, endpoint_url=url,
                       aws_access_key_id="anyone", aws_secret_access_key="anything")
    moto("config", json.dumps({"lambda": {"use_docker": False}}))
    keys = dict(zip(("id", "secret", "other_id", "other_secret"), user("caller") + user("other")))
    iam.put_user_policy(UserName="caller", PolicyName="invoke", PolicyDocument=json.dumps(MAY_INVOKE))
    with open(log, "w", encoding="ascii") as f:
        json.dump(keys, f)
    # from now on nobody may do what no policy allows
    moto("reset-auth", "0")
    print(port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
