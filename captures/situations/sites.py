"""What the situations have in common: hosts and names, site files, and what a server does when nothing is wrong."""

ONE, TWO, ONE_V6 = '10.1.0.4', '10.1.0.5', '2001:db8:1::4'
PROXY = '10.0.0.8'
SYNC, SYNC_AT = 'westeurope01.afs.azure.net', '52.138.0.20'
FILES, FILES_AT = 'contosofs.file.core.windows.net', '20.60.40.4'
LOGIN, LOGIN_AT = 'login.microsoftonline.com', '20.190.160.2'
MANAGEMENT, MANAGEMENT_AT = 'management.azure.com', '20.50.2.10'
LOCAL, LOCAL_AT = 'dp.stackhci.azure.com', '20.60.9.9'
ARC, ARC_AT = 'gbl.his.arc.azure.com', '20.61.98.5'
GATEWAY = '0a1b2c3d.gw.arc.azure.com'
CORPORATE = [('C', 'DE'), ('O', 'Contoso AG'), ('CN', 'Contoso Forward Trust CA')]

SITE = '''[site]
cloud = "{cloud}"
products = ["{product}"]

[{product}]
{settings}

[roles]
servers = ["10.1.0.0/28", "2001:db8:1::/64"]
{roles}
[dns]
resolvers = ["10.1.0.53"]
'''


def file_sync(region='West Europe', redundancy='LRS', cloud='public', more=''):
    settings = f'region = "{region}"\nredundancy = "{redundancy}"\nstorage-accounts = ["contosofs"]'
    return SITE.format(cloud=cloud, product='azure-file-sync', settings=settings, roles='') + more


def azure_local(settings='', more=''):
    settings = 'region = "West Europe"' + settings
    return SITE.format(cloud='public', product='azure-stack-hci', settings=settings, roles='cluster-servers = ["10.1.0.0/28"]\n') + more


DECLARED_PROXY = '\n[proxy]\naddresses = ["10.0.0.8:8080"]\n'
ENDPOINTS = '\n[private-endpoints]\nnetworks = ["10.9.0.0/24"]\n'
SITUATIONS = {}


def situation(site):
    def add(write):
        SITUATIONS[write.__name__.replace('_', '-')] = (write, site)
        return write
    return add


def use(trace, client, name, address):
    """Resolves a name and uses it."""
    trace.dns(client, name, address)
    trace.https(client, address, name)


def sign_in(trace, client=ONE):
    use(trace, client, LOGIN, LOGIN_AT)


def work(trace, client=ONE):
    use(trace, client, FILES, FILES_AT)
    sign_in(trace, client)


def ask_in_vain(trace, name, *answers, seconds=3, client=ONE, **options):
    for _ in range(3):
        trace.dns(client, name, *answers, **options)
        trace.wait(seconds)
    trace.wait(12)
